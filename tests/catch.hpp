// Catch2, version 3 where it is installed, else version 2. Tests use what both have, and from here:
// Approx, and Catch::Matchers::ContainsSubstring for messages of exceptions.
#pragma once

// What throws where a CHECK does not expect it ends its test case, as from any other line; a little less to compile.
#define CATCH_CONFIG_FAST_COMPILE

#if __has_include(<catch2/catch_all.hpp>)

#include <catch2/catch_all.hpp>

using Catch::Approx;

#else

#include <catch2/catch.hpp>  // defines Approx in the global namespace itself

#include <string>

namespace Catch::Matchers {

/// Version 3's name of version 2's `Contains(text)`.
inline StdString::ContainsMatcher ContainsSubstring(const std::string& text) { return Contains(text); }

}  // namespace Catch::Matchers

#endif
