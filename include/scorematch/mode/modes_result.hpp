// Options and results of find_modes.
#pragma once

#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "scorematch/check.hpp"
#include "scorematch/types.hpp"

namespace scorematch {

/// Options of find_modes.
struct ModesOptions {
  /// Where to begin, d × n, one column a start: all of them are followed. Empty: draws of N(0, I), and the lowest of
  /// places around the origin at distances from 1/8 to 2¹⁰.
  Eigen::MatrixXd starts = {};
  Index random_starts = 0;  ///< how many draws of N(0, I); 0: 16, less from 50 dimensions on, at least 4
  Index most = 16;          ///< ≥ 1, the most modes that are listed, lowest first
  std::uint64_t seed = 0;   ///< of the random starts; any

  /// Throws std::invalid_argument unless every option is in its range.
  void validate() const {
    extend::require_within(random_starts, 0, 1'000'000, "ModesOptions: random_starts");
    extend::require_at_least(most, 1, "ModesOptions: most");
  }
};

/// The kind of a place where no step lowers the energy.
enum class ModeKind {
  minimum,     ///< confirmed: score 0, Hessian positive definite, f rises both ways along d directions
  singular,    ///< the Hessian is not positive definite, or not beyond its error: a flat direction, a fourth power
  kink,        ///< the score is not 0: a kink, or a score that is not the energy's
  unresolved,  ///< f does not rise as its Hessian says: its rounding hides it, or there is no minimum but slow descent
  unfinished,  ///< the search ended on its way down
};

/// The kind in a word.
inline const char* to_string(ModeKind kind) {
  switch (kind) {
    case ModeKind::minimum:
      return "minimum";
    case ModeKind::singular:
      return "singular";
    case ModeKind::kink:
      return "kink";
    case ModeKind::unresolved:
      return "unresolved";
    case ModeKind::unfinished:
      return "unfinished";
  }
  return "";
}

/// How a search for modes ended.
enum class ModesStatus {
  found,        ///< the first one listed is a confirmed minimum, and no start led lower
  unconfirmed,  ///< the lowest place reached is not a confirmed minimum: its `kinds` says why
  unbounded,    ///< a start still fell, as fast as ever, when the search ended: the energy looks unbounded below
  non_finite,   ///< the energy is finite at no start: `evidence` names a start and a coordinate
};

/// The status in a word or two.
inline const char* to_string(ModesStatus status) {
  switch (status) {
    case ModesStatus::found:
      return "found";
    case ModesStatus::unconfirmed:
      return "unconfirmed";
    case ModesStatus::unbounded:
      return "unbounded";
    case ModesStatus::non_finite:
      return "non-finite";
  }
  return "";
}

/// n places, lowest energy first: all confirmed minima that were found, and before them the lowest place of another
/// kind, if that lies below or there is none.
struct [[nodiscard]] Modes {
  Eigen::MatrixXd points;                   ///< d × n
  Eigen::VectorXd energies;                 ///< n, f
  std::vector<Eigen::MatrixXd> curvatures;  ///< n, each d × d: the Hessian of f
  Eigen::VectorXd decrements;   ///< n, ½ sᵀH⁻¹s: by how much f could still fall; NaN where H is singular
  std::vector<ModeKind> kinds;  ///< n
  Eigen::VectorXi visits;       ///< n, how many starts led there
  Index starts = 0;             ///< followed
  Index bad_starts = 0;         ///< whose energy or score was not finite: not followed
  Index evaluations = 0;        ///< of energy, score or curvature at a point
  ModesStatus status = ModesStatus::non_finite;  ///< how it ended
  std::string evidence = {};               ///< what speaks against `found`, in a sentence; empty where all is well
  std::vector<std::string> warnings = {};  ///< what else to know: bad starts, a list that is full, coarse numbers

  /// Whether mode k, counted from 0, is a confirmed minimum.
  bool confirmed(Index k) const { return kinds[static_cast<std::size_t>(k)] == ModeKind::minimum; }

  /// A line: the status, how many modes from how many starts; then the evidence, each mode, and each warning.
  std::string text() const {
    std::string all = scorematch::detail::text(to_string(status), ": ", points.cols(), " places from ", starts,
                                               " starts, ", evaluations, " evaluations\n");
    if (!evidence.empty()) all += "  " + evidence + '\n';
    for (Index k = 0; k < points.cols(); ++k)
      all += scorematch::detail::text("  ", to_string(kinds[static_cast<std::size_t>(k)]), ": energy ", energies[k],
                                      ", reached from ", visits[k], visits[k] == 1 ? " start\n" : " starts\n");
    for (const std::string& warning : warnings) all += "  " + warning + '\n';
    return all;
  }
};

}  // namespace scorematch
