#include <heirloop/sched/stack.hpp>

#include <algorithm>
#include <cctype>
#include <iostream>

namespace heirloop {

namespace {

/// Reads the text of a function from left to right and keeps the parts of its name.
class FunctionText {
 public:
  explicit FunctionText(std::string_view text) noexcept : text_(text) {}

  std::string name() {
    while (at_ < text_.size() && read()) {
    }
    end_part();
    return name_.empty() ? std::string(text_) : name_;
  }

 private:
  bool next_is(std::string_view what) const noexcept { return text_.substr(at_).starts_with(what); }
  bool take(std::string_view what) noexcept {
    if (!next_is(what)) return false;
    at_ += what.size();
    return true;
  }

  /// One piece. False when the name is over.
  bool read() {
    if (take("::")) {
      end_part();
    } else if (take("{anonymous}") || take("(anonymous namespace)")) {
      // no part of the name
    } else if (take("(anonymous class)")) {
      part_ = "lambda";
    } else if (next_is("<lambda")) {
      skip_brackets('<', '>');
      part_ = "lambda";
    } else if (part_.empty() && next_is("operator") && !is_word(at_ + 8)) {
      read_operator();
    } else if (next_is("<")) {
      skip_brackets('<', '>');
    } else if (next_is("(")) {
      skip_brackets('(', ')');
      while (take(" const") || take(" volatile") || take(" &") || take("&") || take(" noexcept")) {
      }
      return next_is("::");  // what is inside a function goes on behind it
    } else if (next_is(" [")) {
      return false;  // the template arguments, spelled out
    } else if (take(" ")) {
      name_.clear();  // that was a specifier or the type of the result
      part_.clear();
    } else if (part_.empty() && (take("&") || take("*"))) {
      // still the type of the result
    } else {
      part_ += text_[at_++];
    }
    return true;
  }

  void read_operator() {
    at_ += 8;
    part_ = "operator";
    if (take("()")) {
      part_ += "()";
    } else if (next_is(" ")) {
      at_ = std::min(text_.find('(', at_), text_.size());  // a conversion
    } else {
      while (at_ < text_.size() && text_[at_] != '(') part_ += text_[at_++];
    }
  }

  void skip_brackets(char open, char close) noexcept {
    int depth = 0;
    do {
      if (text_[at_] == open) ++depth;
      if (text_[at_] == close) --depth;
    } while (++at_ < text_.size() && depth > 0);
  }

  bool is_word(std::size_t at) const noexcept {
    return at < text_.size() && (std::isalnum(static_cast<unsigned char>(text_[at])) != 0 || text_[at] == '_');
  }

  void end_part() {
    const bool of_lambda = part_ == "operator()" && name_.ends_with("lambda");
    if (!part_.empty() && !of_lambda) name_ += (name_.empty() ? "" : "::") + part_;
    part_.clear();
  }

  std::string_view text_;
  std::size_t at_ = 0;
  std::string name_;
  std::string part_;
};

std::coroutine_handle<> awaiter_of(std::coroutine_handle<> frame) noexcept { return detail::CoroPromiseBase::of(frame).awaiter; }

}  // namespace

std::string detail::function_name(std::string_view text) { return FunctionText(text).name(); }

std::string CoroFrame::function() const { return detail::function_name(where_.function_name()); }

std::vector<CoroFrame> get_stack(const TaskRef& task, std::size_t limit) {
  if (!task) throw InvalidStateError("this task handle is empty");
  const std::coroutine_handle<> leaf = detail::leaf_frame(*task.get());
  std::size_t depth = 0;
  for (auto frame = leaf; frame && depth < limit; frame = awaiter_of(frame)) ++depth;
  std::vector<CoroFrame> frames;
  frames.reserve(depth);
  for (auto frame = leaf; frames.size() < depth; frame = awaiter_of(frame)) {
    frames.emplace_back(detail::CoroPromiseBase::of(frame).where);
  }
  std::reverse(frames.begin(), frames.end());
  return frames;
}

std::string stack_text(const TaskRef& task, std::size_t limit) {
  const std::vector<CoroFrame> frames = get_stack(task, limit);
  std::string text = task.name() + " (" + std::string(to_string(task.state())) + "), oldest first:\n";
  for (const CoroFrame& frame : frames) {
    text += "  " + std::string(frame.file()) + ":" + std::to_string(frame.line()) + " in " + frame.function() + "\n";
  }
  return text;
}

void print_stack(const TaskRef& task, std::ostream& out, std::size_t limit) { out << stack_text(task, limit); }

void print_stack(const TaskRef& task) { print_stack(task, std::cerr); }

std::optional<CoroFrame> CoroView::frame() const {
  std::coroutine_handle<> frame = detail::leaf_frame(*task_.get());
  if (!frame) return std::nullopt;
  while (const auto awaiter = awaiter_of(frame)) frame = awaiter;
  return CoroFrame(detail::CoroPromiseBase::of(frame).where);
}

}  // namespace heirloop
