// One test body for both ways in which a formula becomes derivatives: its record replayed over blocks of samples, and
// the formula compiled into the loop (docs/design.md, "The compiled path").
#pragma once

#include "catch.hpp"

#include "scorematch/model/energy_model.hpp"

/// check(model) with the formula's energy on each path.
template <int D, class F, class Check>
void on_both_paths(const F& formula, const Check& check) {
  {
    INFO("the recorded path");
    check(scorematch::energy_model(D, formula));
  }
  {
    INFO("the compiled path");
    check(scorematch::energy_model<D>(formula));
  }
}
