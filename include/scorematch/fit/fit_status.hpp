// How a fit or a training ended, whatever the method.
#pragma once

namespace scorematch {

/// How a fit or a training ended.
enum class FitStatus {
  converged,  ///< lbfgs: the next step would change the score by less than FitOptions::tolerance of its size (or by
              ///< what rounding of θ does), and, of up to 60 parameters, the loss curves up there; adam: the gradient
              ///< is within its own standard error, and the next step would change the score by less than a tenth
  used_up,    ///< all iterations allowed were taken: the usual end of adam, which cannot tell how far it is; lbfgs had
              ///< not converged
  finished,   ///< train: all steps are taken
  stopped,    ///< by the progress callback; train: the same call goes on from the checkpoint
  stalled,  ///< lbfgs: no further decrease can be resolved at working precision, a wall of non-finite losses is in the
            ///< way, the search ended at a saddle, or a number of θ ran off to where it changes nothing (see
            ///< Fit::warnings)
  noisy,    ///< the least loss of one draw of the noise, but other draws would change the score by more than a third of
            ///< its size
  plateau,  ///< the loss is stationary, but no lower than that of a score which is 0 everywhere: nothing was learned
  early_stopped,   ///< the held-out loss had stopped to improve
  diverged,        ///< the loss falls without bound
  non_finite,      ///< the loss or its gradient was not finite where the fit started, or, in adam, where it went;
                   ///< reverse_kl: its gradient, or a term of the value that is known
  stuck,           ///< contrastive divergence: chains of the model do not move, so that nothing was learned from them
  not_invertible,  ///< reverse_kl: a slope of the generator changed its sign, or became 0: log q is not known any more
};

/// The status in a word or two.
inline const char* to_string(FitStatus status) {
  switch (status) {
    case FitStatus::converged:
      return "converged";
    case FitStatus::used_up:
      return "iterations used up";
    case FitStatus::finished:
      return "finished";
    case FitStatus::stopped:
      return "stopped";
    case FitStatus::stalled:
      return "stalled";
    case FitStatus::noisy:
      return "noisy";
    case FitStatus::plateau:
      return "plateau";
    case FitStatus::early_stopped:
      return "early-stopped";
    case FitStatus::diverged:
      return "diverged";
    case FitStatus::non_finite:
      return "non-finite";
    case FitStatus::stuck:
      return "stuck";
    case FitStatus::not_invertible:
      return "not invertible";
  }
  return "";
}

}  // namespace scorematch
