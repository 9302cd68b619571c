// docs/equations.md against the sources: every equation of the study note has a row, and what the rows name exists.
//
// Every table has a column "verified by"; the tables of equations, whose first column is "no.", also have a column
// "code". Cells hold `files`, each followed by what is in it: `names` for code, "titles of test cases" for tests.
#include "catch.hpp"

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

namespace {

using Strings = std::vector<std::string>;

std::string trimmed(std::string_view text) {
  const auto first = text.find_first_not_of(" \t\r");
  if (first == text.npos) return {};
  return std::string(text.substr(first, text.find_last_not_of(" \t\r") - first + 1));
}

Strings split(std::string_view text, std::string_view separator) {
  Strings parts;
  for (std::size_t end; (end = text.find(separator)) != text.npos; text.remove_prefix(end + separator.size()))
    parts.push_back(trimmed(text.substr(0, end)));
  parts.push_back(trimmed(text));
  return parts;
}

std::string read(const std::filesystem::path& path) {
  std::ostringstream text;
  text << std::ifstream(path).rdbuf();
  return text.str();
}

/// Without what follows // on its line.
std::string without_comments(const std::string& source) {
  std::string code;
  for (const std::string& line : split(source, "\n")) code += line.substr(0, line.find("//")) + '\n';
  return code;
}

bool has_word(const std::string& code, const std::string& word) {
  const auto in_word = [](char c) { return std::isalnum(static_cast<unsigned char>(c)) || c == '_'; };
  for (auto at = code.find(word); at != code.npos; at = code.find(word, at + 1)) {
    const auto end = at + word.size();
    const bool joined_before = at > 0 && in_word(code[at - 1]) && in_word(word.front());
    const bool joined_after = end < code.size() && in_word(code[end]) && in_word(word.back());
    if (!joined_before && !joined_after) return true;
  }
  return false;
}

/// The titles of the test cases in a source, literals that follow each other joined.
Strings test_cases(const std::string& source) {
  const std::string macro = "TEST_CASE(";
  Strings titles;
  for (auto at = source.find(macro); at != source.npos; at = source.find(macro, at)) {
    at += macro.size();
    titles.emplace_back();
    for (;;) {
      at = std::min(source.find_first_not_of(" \t\r\n", at), source.size());
      if (at == source.size() || source[at] != '"') break;
      for (++at; at < source.size() && source[at] != '"'; ++at)
        titles.back() += source[at] == '\\' ? source[++at] : source[at];
      ++at;
    }
  }
  return titles;
}

/// A cell's `file`s with what follows each of them: in backticks where names are asked for, in quotes for titles.
struct Named {
  std::string file;
  Strings items;
};

std::vector<Named> named(const std::string& cell, char item_mark) {
  std::vector<Named> found;
  for (std::size_t at = 0; (at = cell.find_first_of(item_mark == '`' ? "`" : "`\"", at)) != cell.npos;) {
    const auto end = cell.find(cell[at], at + 1);
    if (end == cell.npos) break;
    const std::string text = cell.substr(at + 1, end - at - 1);
    if (cell[at] == '`' && (text.ends_with(".hpp") || text.ends_with(".cpp")))
      found.push_back({text, {}});
    else if (cell[at] == item_mark && !found.empty())
      found.back().items.push_back(text);
    at = end + 1;
  }
  return found;
}

void check_code(const std::string& cell, const std::string& row, Strings& problems) {
  const auto places = named(cell, '`');
  if (places.empty()) problems.push_back(row + "names no code");
  for (const auto& [file, names] : places) {
    const bool is_header = file.ends_with(".hpp");
    const auto path = std::filesystem::path(is_header ? "include/scorematch" : ".") / file;
    if (!std::filesystem::is_regular_file(path)) {
      problems.push_back(row + file + " does not exist");
      continue;
    }
    if (is_header && names.empty()) problems.push_back(row + file + " is named without a function or type of it");
    const std::string code = without_comments(read(path));
    for (const std::string& name : names)
      if (!has_word(code, name)) problems.push_back(row + file + " has no " + name);
  }
}

void check_tests(const std::string& cell, const std::string& row, Strings& problems) {
  const auto places = named(cell, '"');
  if (places.empty()) problems.push_back(row + "names no test");
  for (const auto& [file, titles] : places) {
    const auto path = std::filesystem::path("tests") / file;
    if (!std::filesystem::is_regular_file(path)) {
      problems.push_back(row + "tests/" + file + " does not exist");
      continue;
    }
    if (titles.empty()) problems.push_back(row + "tests/" + file + " is named without a test case of it");
    const Strings known = test_cases(read(path));
    for (const std::string& title : titles)
      if (std::find(known.begin(), known.end(), title) == known.end())
        problems.push_back(row + "tests/" + file + " has no test case \"" + title + '"');
  }
}

/// Adds the equations of a first cell, "1.7" or "1.9–1.12" or several of these between commas, to those seen.
void add_equations(const std::string& cell, const std::string& row, std::map<int, int>& seen, Strings& problems) {
  const auto number = [](const std::string& text) {
    const bool right = text.size() > 2 && text.size() < 5 && text.starts_with("1.") &&
                       std::all_of(text.begin() + 2, text.end(), [](unsigned char c) { return std::isdigit(c); });
    return right ? std::stoi(text.substr(2)) : 0;
  };
  for (const std::string& part : split(cell, ",")) {
    const Strings ends = split(part, "–");
    const int first = number(ends.front()), last = number(ends.back());
    if (ends.size() > 2 || first == 0 || last < first) {
      problems.push_back(row + '"' + part + "\" is no equation and no range of them");
      continue;
    }
    for (int n = first; n <= last; ++n)
      if (++seen[n] == 2) problems.push_back(row + "1." + std::to_string(n) + " has a row already");
  }
}

/// What is wrong with a document, a line each.
Strings problems_of(const std::string& document, int first_equation, int last_equation) {
  Strings problems, header;
  std::map<int, int> seen;
  const Strings lines = split(document, "\n");
  for (std::size_t i = 0; i < lines.size(); ++i) {
    if (!lines[i].starts_with('|')) {
      header.clear();
      continue;
    }
    const std::string row = "line " + std::to_string(i + 1) + ": ";
    const Strings cells = split(lines[i], "|");  // the first and the last are what is outside the table: nothing
    if (header.empty()) {
      header = cells;
      const auto has = [&](const char* name) { return std::count(header.begin(), header.end(), name) == 1; };
      if (!has("verified by")) problems.push_back(row + "the table has no column \"verified by\"");
      if (has("no.") && !has("code")) problems.push_back(row + "the table has no column \"code\"");
      continue;
    }
    if (cells.size() != header.size()) {
      problems.push_back(row + "a row of another length than the table's first");
      continue;
    }
    if (cells[1].starts_with("---")) continue;
    for (std::size_t k = 0; k < cells.size(); ++k) {
      if (header[k] == "no.") add_equations(cells[k], row, seen, problems);
      if (header[k] == "code") check_code(cells[k], row, problems);
      if (header[k] == "verified by") check_tests(cells[k], row, problems);
    }
  }
  for (int n = first_equation; n <= last_equation; ++n)
    if (seen.find(n) == seen.end()) problems.push_back("1." + std::to_string(n) + " has no row");
  if (!seen.empty() && (seen.begin()->first < first_equation || seen.rbegin()->first > last_equation))
    problems.push_back("a row of an equation that the note does not have");
  return problems;
}

std::string joined(const Strings& lines) {
  std::string text;
  for (const std::string& line : lines) text += line + '\n';
  return text;
}

}  // namespace

TEST_CASE("Every equation has a row, and what the rows name exists") {
  const std::string document = read("docs/equations.md");
  REQUIRE_FALSE(document.empty());
  const Strings problems = problems_of(document, 1, 57);
  INFO(joined(problems));
  CHECK(problems.empty());
}

TEST_CASE("What is wrong in a table of equations is found") {
  const std::string titles = "| no. | what it says | code | verified by |\n|---|---|---|---|\n";
  const std::string code = "`model/values.hpp`: `score_of`, `energy_of`";
  const std::string tests = "`identities.cpp`: \"I5: the denoising loss of N(0, vI) at its optimum\"";
  const auto found = [&](const std::string& number, const std::string& named_code, const std::string& named_tests) {
    return joined(
        problems_of(titles + "| " + number + " | words | " + named_code + " | " + named_tests + " |\n", 1, 3));
  };
  CHECK(found("1.1–1.3", code, tests).empty());
  CHECK(found("1.1, 1.2–1.3", code + "; `examples/quickstart.cpp`", tests).empty());

  using Catch::Matchers::ContainsSubstring;
  CHECK_THAT(found("1.1, 1.3", code, tests), ContainsSubstring("1.2 has no row"));
  CHECK_THAT(found("1.1–1.3, 1.2", code, tests), ContainsSubstring("line 3: 1.2 has a row already"));
  CHECK_THAT(found("1.1–1.4", code, tests), ContainsSubstring("does not have"));
  CHECK_THAT(found("1.3–1.1", code, tests), ContainsSubstring("\"1.3–1.1\" is no equation"));
  CHECK_THAT(found("1.x", code, tests), ContainsSubstring("\"1.x\" is no equation"));

  CHECK_THAT(found("1.1–1.3", "", tests), ContainsSubstring("names no code"));
  CHECK_THAT(found("1.1–1.3", "`score/value.hpp`: `score_of`", tests),
             ContainsSubstring("score/value.hpp does not exist"));
  CHECK_THAT(found("1.1–1.3", "`examples/slowstart.cpp`", tests),
             ContainsSubstring("examples/slowstart.cpp does not exist"));
  CHECK_THAT(found("1.1–1.3", "`model/values.hpp`: `score_o`", tests), ContainsSubstring("values.hpp has no score_o"));
  CHECK_THAT(found("1.1–1.3", "`model/values.hpp`: `looking`", tests), ContainsSubstring("has no looking"));
  CHECK_THAT(found("1.1–1.3", "`model/values.hpp`", tests), ContainsSubstring("named without a function"));

  CHECK_THAT(found("1.1–1.3", code, ""), ContainsSubstring("names no test"));
  CHECK_THAT(found("1.1–1.3", code, "`identity.cpp`: \"I5\""), ContainsSubstring("tests/identity.cpp does not exist"));
  CHECK_THAT(found("1.1–1.3", code, "`identities.cpp`: \"I5\""), ContainsSubstring("has no test case \"I5\""));
  CHECK_THAT(found("1.1–1.3", code, "`identities.cpp`"), ContainsSubstring("named without a test case"));

  CHECK_THAT(joined(problems_of("| no. | what |\n|---|---|\n", 1, 0)),
             ContainsSubstring("no column \"verified by\"") && ContainsSubstring("no column \"code\""));
  CHECK_THAT(found("1.1–1.3 | more", code, tests), ContainsSubstring("another length"));
}
