// expect: an objective must provide  void score\(
#include <vector>

#include <scorematch/fit/fit.hpp>
#include <scorematch/model/energy_model.hpp>

namespace sm = scorematch;

struct nothing {
  template <class T>
  struct Notes {};
  void validate() const {}
  bool deterministic() const { return true; }
  std::vector<const char*> term_names() const { return {}; }
  template <class T>
  void prepare(const sm::extend::Samples<T>& samples, sm::extend::Points<T>& points, Notes<T>&) const {
    points.X = samples.X;
  }
#ifdef CORRECT
  template <class T>
  void score(const sm::extend::Samples<T>&, const sm::extend::Points<T>&, const Notes<T>&,
             const sm::extend::ScoreValues<T>& values, sm::extend::Losses<T>& losses) const {
    losses.bar.S = values.S;
    losses.value = T(0.5) * values.S.rowwise().squaredNorm();
  }
#endif
};

double user(const Eigen::MatrixXd& data) {
  const auto model = sm::energy_model(2, [](auto x, auto theta) { return 0.5 * squared_norm(x - theta("m", 2)); });
  return sm::fit(model, nothing{}, data).loss.value;
}
