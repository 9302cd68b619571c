// expect: require_positive
#include <scorematch/check.hpp>

void user(double sigma) {
#ifdef CORRECT
  scorematch::require_positive(sigma, "sigma");
#else
  scorematch::require_positive("sigma", sigma);
#endif
}
