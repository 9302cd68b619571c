// README.md, CONTRIBUTING.md and docs/*.md against the repository: each whole program on a page is a file of the same
// text under examples/, where it is built and run, each relative link points to a file that exists, and each status of
// the library is explained.
#include "catch.hpp"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

namespace {

namespace fs = std::filesystem;
using Strings = std::vector<std::string>;

std::string read(const fs::path& path) {
  std::ostringstream text;
  text << std::ifstream(path).rdbuf();
  return text.str();
}

/// Lines without their ends, "\r\n" or "\n".
Strings lines_of(const std::string& text) {
  Strings lines;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) {
    if (line.ends_with('\r')) line.pop_back();
    lines.push_back(line);
  }
  return lines;
}

std::string joined(const Strings& lines) {
  std::string text;
  for (const std::string& line : lines) text += line + '\n';
  return text;
}

/// A fenced block of a page: its language, the line of its opening fence, and its text.
struct Block {
  std::string language;
  std::size_t line;
  std::string text;
};

/// The blocks of a page, and what is left of it without them and without `code` within lines.
struct Page {
  std::vector<Block> blocks;
  std::string prose;
};

/// Blanks instead of `code`, which ends with its paragraph at the latest; lines stay.
void blank_code(std::string& prose) {
  bool inside = false;
  for (std::size_t i = 0; i < prose.size(); ++i) {
    if (prose[i] == '\n') {
      if (i > 0 && prose[i - 1] == '\n') inside = false;
    } else if (prose[i] == '`') {
      inside = !inside;
    } else if (inside) {
      prose[i] = ' ';
    }
  }
}

Page parsed(const std::string& document) {
  Page page;
  bool inside = false;
  const Strings lines = lines_of(document);
  for (std::size_t i = 0; i < lines.size(); ++i) {
    if (lines[i].starts_with("```")) {
      inside = !inside;
      if (inside) page.blocks.push_back({lines[i].substr(3), i + 1, {}});
    } else if (inside) {
      page.blocks.back().text += lines[i] + '\n';
    } else {
      page.prose += lines[i];
    }
    page.prose += '\n';  // line numbers stay
  }
  blank_code(page.prose);
  return page;
}

/// Whole programs of a page that are no file: `programs` are the texts of all files under examples/.
Strings missing_programs(const std::string& name, const Page& page, const std::set<std::string>& programs) {
  Strings problems;
  for (const Block& block : page.blocks)
    if (block.language == "cpp" && block.text.find("int main") != std::string::npos && !programs.contains(block.text))
      problems.push_back(name + ':' + std::to_string(block.line) + ": no file under examples/ has this program's text");
  return problems;
}

/// Relative links, [text](target) and ![text](target), whose target is no file or folder.
Strings broken_links(const fs::path& path, const Page& page) {
  Strings problems;
  const Strings lines = lines_of(page.prose);
  for (std::size_t i = 0; i < lines.size(); ++i)
    for (std::size_t at = 0; (at = lines[i].find("](", at)) != std::string::npos;) {
      at += 2;
      std::string target = lines[i].substr(at, lines[i].find(')', at) - at);
      if (target.find("://") != std::string::npos || target.starts_with("mailto:")) continue;
      target = target.substr(0, target.find('#'));  // a heading of the file; of the page itself if nothing is left
      if (!target.empty() && !fs::exists(path.parent_path() / target))
        problems.push_back(path.string() + ':' + std::to_string(i + 1) + ": " + target + " does not exist");
    }
  return problems;
}

std::vector<fs::path> all_pages() {
  std::vector<fs::path> pages = {"README.md", "CONTRIBUTING.md"};
  for (const auto& entry : fs::directory_iterator("docs"))
    if (entry.path().extension() == ".md") pages.push_back(entry.path());
  std::sort(pages.begin() + 2, pages.end());
  return pages;
}

std::set<std::string> all_programs() {
  std::set<std::string> programs;
  for (const auto& entry : fs::recursive_directory_iterator("examples"))
    if (entry.path().extension() == ".cpp") programs.insert(joined(lines_of(read(entry.path()))));
  return programs;
}

/// The words that to_string has for statuses and verdicts: in `case SomeStatus::name: return "word";`.
std::set<std::string> words_of_statuses(const std::string& source) {
  std::set<std::string> words;
  for (std::size_t at = 0; (at = source.find("case ", at)) != std::string::npos; ++at) {
    const std::string_view label = std::string_view(source).substr(at, source.find(':', at) - at);
    if (!label.ends_with("Status") && !label.ends_with("Verdict")) continue;
    const std::size_t found = source.find("return \"", at), word = found + 8;
    if (found < source.find("case ", at + 5)) words.insert(source.substr(word, source.find('"', word) - word));
  }
  return words;
}

/// Whether a cell of a table's first column is `word`, or holds it among others: "| found, at minima |".
bool explains(const Strings& lines, const std::string& word) {
  return std::any_of(lines.begin(), lines.end(), [&](const std::string& line) {
    if (!line.starts_with("| ")) return false;
    const std::string first = ", " + line.substr(2, line.find(" |", 2) - 2) + ',';
    return first.find(", " + word + ',') != std::string::npos;
  });
}

}  // namespace

TEST_CASE("Each whole program on a page is a file under examples/") {
  const std::set<std::string> programs = all_programs();
  Strings problems;
  std::size_t whole = 0;
  for (const fs::path& path : all_pages()) {
    const Page page = parsed(read(path));
    for (const Block& block : page.blocks) whole += block.text.find("int main") != std::string::npos ? 1 : 0;
    for (const std::string& problem : missing_programs(path.string(), page, programs)) problems.push_back(problem);
  }
  INFO(joined(problems));
  CHECK(problems.empty());
  CHECK(whole >= 6);
}

TEST_CASE("Each program of examples/pages/ is on a page") {
  std::set<std::string> shown;
  for (const fs::path& path : all_pages())
    for (const Block& block : parsed(read(path)).blocks) shown.insert(block.text);
  for (const auto& entry : fs::directory_iterator("examples/pages")) {
    if (entry.path().extension() != ".cpp") continue;
    INFO(entry.path().string());
    CHECK(shown.contains(joined(lines_of(read(entry.path())))));
  }
}

TEST_CASE("Relative links of the pages point to files that exist") {
  Strings problems;
  for (const fs::path& path : all_pages()) {
    REQUIRE(fs::is_regular_file(path));
    for (const std::string& problem : broken_links(path, parsed(read(path)))) problems.push_back(problem);
  }
  INFO(joined(problems));
  CHECK(problems.empty());
}

TEST_CASE("The page of what can go wrong explains each status") {
  std::set<std::string> words;
  for (const auto& entry : fs::recursive_directory_iterator("include"))
    if (entry.path().extension() == ".hpp") words.merge(words_of_statuses(read(entry.path())));
  CHECK(words.size() >= 40);
  const Strings page = lines_of(read("docs/what_can_go_wrong.md"));
  for (const std::string& word : words) {
    INFO("the status \"" << word << "\" is in no table of docs/what_can_go_wrong.md");
    CHECK(explains(page, word));
  }
  CHECK(words_of_statuses("case AStatus::a:\n  return \"a b\";\ncase B::c: return \"d\";") ==
        std::set<std::string>{"a b"});
  CHECK(explains({"| found, at minima | good |"}, "at minima"));
  CHECK_FALSE(explains({"| found, at minima | good |", "good"}, "good"));
  CHECK_FALSE(explains({"| not converged | doubt |"}, "converged"));
}

TEST_CASE("What is wrong on a page is found") {
  using Catch::Matchers::ContainsSubstring;
  const std::string program = "int main() {}\n", page = "# Title\n\n```cpp\n" + program + "```\n";
  const auto missing = [&](const std::string& document, const std::set<std::string>& programs) {
    return joined(missing_programs("page.md", parsed(document), programs));
  };
  CHECK(missing(page, {program}).empty());
  CHECK_THAT(missing(page, {}), ContainsSubstring("page.md:3: no file"));
  CHECK_THAT(missing(page, {"int main() { }\n"}), ContainsSubstring("page.md:3: no file"));  // one blank more
  CHECK(missing("```cpp\nfit();\n```\n```sh\nint main\n```\n", {}).empty());  // no whole program, and no C++

  const auto broken = [](const std::string& document) {
    return joined(broken_links("docs/page.md", parsed(document)));
  };
  CHECK(
      broken("[a](design.md#roles) ![b](images/quickstart.png) [c](https://a.b/c) [d](#e) [f](../README.md)").empty());
  CHECK(broken("```cpp\na[i](missing.md)\n```\n`f([](auto x) {\n}) [](y)` and [`f`](design.md)")
            .empty());  // code has no links
  CHECK_THAT(broken("\n[a](missing.md)"), ContainsSubstring("docs/page.md:2: missing.md does not exist"));
  CHECK_THAT(broken("[a](design.md) and [b](images/none.png)"), ContainsSubstring("images/none.png does not exist"));
}
