#include "model.hpp"

#include <scorematch/random/normal.hpp>

int bytes_of_a_register() { return static_cast<int>(WIDTH_OF); }

double mean_square_of_normals() {
  Eigen::MatrixXd Z(1024, 64);
  scorematch::extend::fill_normals<double>({1, scorematch::extend::Purpose::user}, scorematch::extend::Ids::from(0),
                                           Z.rows(), 0, Z.cols(), Z.data(), Z.rows());
  return Z.squaredNorm() / static_cast<double>(Z.size());
}
