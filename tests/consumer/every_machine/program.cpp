#include <cmath>
#include <cstdio>

#include "model.hpp"

int main() {
  const double square = mean_square_of_normals();
  std::printf("registers of %d bytes, mean square %s\n", bytes_of_a_register(),
              std::abs(square - 1) < 0.03 ? "1" : "not 1");  // six deviations, √(2/65536) each
}
