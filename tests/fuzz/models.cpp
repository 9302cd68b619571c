// load_parameters, whatever the bytes: it refuses, or gives finite numbers under names that save_parameters saves so
// that the same bits are read again.
#include "scorematch/io/parameters.hpp"

#include "fuzz.hpp"

namespace fuzz {

const char* const name = "models";

std::vector<std::string> seeds() {
  return {"scorematch-parameters 1\ncount 2\n2 x 3 W\n1 2 3\n4 5 0.1\n2 x 1 b of it\n-1\n2e+300\nend\n",
          "scorematch-parameters 1\r\ncount 1\r\n0 x 5 empty\r\nend\r\n", "scorematch-parameters 1\ncount 0\nend\n",
          "scorematch-parameters 1\nstandardised 2\n43.92 5.45\n17.15 0\ncount 1\n1 x 1 a\n-0\nend\n"};
}

std::vector<std::string> words() {
  return {"scorematch-parameters ",
          "count ",
          " x ",
          "end\n",
          "standardised ",
          "\n",
          "\r\n",
          " ",
          "1",
          "1 x 1 a\n0.5\n",
          "0 x 0 z\n",
          "9223372036854775807 x 0 q\n",
          "-1",
          "\t",
          std::string(1, '\0')};
}

bool accepts(std::string_view input) {
  namespace sm = scorematch;
  const std::string path = path_of(""), written = path_of(".written");
  put(path, input);
  sm::io::SavedParameters saved;
  if (!runs([&] { saved = sm::io::read_parameters(path); })) return false;
  for (const sm::NamedParameter& parameter : saved.parameters) {
    require(parameter.values.allFinite(), "a number is not finite");
    require(parameter.rows * parameter.cols == parameter.values.size(), "a shape that is not that of the values");
  }
  const auto save = [&](const sm::io::SavedParameters& all) {
    sm::io::write_parameters(written, all.parameters, all.standardisation ? &*all.standardisation : nullptr);
    return content(written);
  };
  const std::string once = save(saved);
  require(save(sm::io::read_parameters(written)) == once, "saved it loads as something else");
  return true;
}

}  // namespace fuzz
