// Writing a result file at the end of a long run, and finding out before the run that it can't be written.
#pragma once

#include <string>
#include <string_view>

namespace tools {

/// Finds out whether write_file(path, …) can work, and leaves everything as it is.
/// Errors: std::system_error that names the path.
void check_writable(const std::string& path);

/// Makes `text` the whole content of the file, which is made if there is none.
/// Errors: std::system_error that names the path.
void write_file(const std::string& path, std::string_view text);

}  // namespace tools
