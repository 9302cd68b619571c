// expect: require_positive
#include <scorematch/check.hpp>

void user(double sigma) {
#ifdef CORRECT
  scorematch::extend::require_positive(sigma, "sigma");
#else
  scorematch::extend::require_positive("sigma", sigma);
#endif
}
