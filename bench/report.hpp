// What a run says: a line of the table for each row as it is done, and a JSON file at the end.
#pragma once

#include "measure.hpp"

#include <ostream>
#include <string>
#include <vector>

namespace heirloop::bench {

void print_head(std::ostream& out);
void print_row(std::ostream& out, const Measured& row);

/// Processor, cores, kernel and compiler.
std::string machine();

/// The rows as JSON text; bench/README.md has the fields.
std::string as_json(const std::vector<Measured>& rows);

}  // namespace heirloop::bench
