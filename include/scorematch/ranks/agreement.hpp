// How ranks agree: on what they were given, on what one of them found wrong, on what rank 0 decides.
//
// An exception on some ranks only would leave the others waiting for ever. So what can be checked is checked in
// `agree`, which throws on all ranks what it threw on the first of them; any other exception ends all ranks
// (`on_ranks`, Communicator::abort).
#pragma once

#include <cstring>
#include <exception>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <vector>

#include "scorematch/concepts.hpp"
#include "scorematch/ranks/communicator.hpp"
#include "scorematch/simd/lanes.hpp"
#include "scorematch/version.hpp"

namespace scorematch::ranks {

/// Thrown on all ranks at once.
struct AgreedArgument : std::invalid_argument {
  using std::invalid_argument::invalid_argument;
};
/// The same of what is no argument's fault, a file's say.
struct AgreedFailure : std::runtime_error {
  using std::runtime_error::runtime_error;
};
/// Another rank has ended.
struct RankGone : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// Rank `root`'s text becomes that of all.
inline void broadcast(const Communicator& ranks, int root, std::string& text) {
  std::uint64_t size = text.size();
  ranks.broadcast(root, &size, sizeof size);
  text.resize(static_cast<std::size_t>(size));
  ranks.broadcast(root, text.data(), text.size());
}

/// Rank `root`'s value becomes that of all.
template <class Value>
requires std::is_trivially_copyable_v<Value>
void broadcast(const Communicator& ranks, int root, Value& value) { ranks.broadcast(root, &value, sizeof value); }

/// The values of all ranks, in their order.
template <class Value>
requires std::is_trivially_copyable_v<Value> std::vector<Value> gather(const Communicator& ranks, const Value& own) {
  std::vector<Value> all(static_cast<std::size_t>(ranks.size()), own);
  for (int rank = 0; rank < ranks.size(); ++rank) broadcast(ranks, rank, all[static_cast<std::size_t>(rank)]);
  return all;
}

/// The texts of all ranks, in their order.
inline std::vector<std::string> gather(const Communicator& ranks, const std::string& own) {
  std::vector<std::string> all(static_cast<std::size_t>(ranks.size()));
  for (int rank = 0; rank < ranks.size(); ++rank) {
    std::string& text = all[static_cast<std::size_t>(rank)];
    if (rank == ranks.rank()) text = own;
    broadcast(ranks, rank, text);
  }
  return all;
}

/// Calls check(); where it throws on a rank, all ranks throw what the first of those threw, with its number, unless all
/// say the same.
template <class Check>
void agree(const Communicator& ranks, Check check) {
  if (ranks.alone()) return check();
  constexpr char fine = ' ', argument = 'a', failure = 'f';
  std::string found(1, fine);
  try {
    check();
  } catch (const RankGone&) {
    throw;
  } catch (const std::invalid_argument& error) {
    found = argument + std::string(error.what());
  } catch (const std::exception& error) {
    found = failure + std::string(error.what());
  }
  const std::vector<std::string> all = gather(ranks, found);
  bool same = true;
  for (const std::string& one : all) same = same && one == all.front();
  for (int rank = 0; rank < ranks.size(); ++rank) {
    const std::string& one = all[static_cast<std::size_t>(rank)];
    if (one.front() == fine) continue;
    std::string message = one.substr(1);
    constexpr std::string_view name = "scorematch: ";
    if (message.starts_with(name)) message.erase(0, name.size());
    message = std::string(name) + (same ? "" : detail::text("rank ", rank, " of ", ranks.size(), ": ")) + message;
    if (one.front() == argument) throw AgreedArgument(message);
    throw AgreedFailure(message);
  }
}

/// Calls work(), which all ranks do together. An exception that not all of them threw ends all of them.
template <class Work>
void on_ranks(const Communicator& ranks, Work work) {
  if (ranks.alone()) return work();
  try {
    work();
  } catch (const AgreedArgument&) {
    throw;
  } catch (const AgreedFailure&) {
    throw;
  } catch (const RankGone&) {
    throw;
  } catch (const std::exception& error) {
    ranks.abort(detail::text("scorematch: rank ", ranks.rank(), " of ", ranks.size(),
                             " failed, which ends all of them: ", error.what()));
    throw;
  } catch (...) {
    ranks.abort(detail::text("scorematch: rank ", ranks.rank(), " of ", ranks.size(),
                             " failed by an exception of an unknown type, which ends all of them"));
    throw;
  }
}

/// Whether it holds on any rank.
inline bool any(const Communicator& ranks, bool own) {
  bool found = own;
  if (!ranks.alone())
    for (const char one : gather(ranks, static_cast<char>(own))) found = found || one != 0;
  return found;
}

/// The bits of numbers in 16 digits, to tell them apart.
inline std::string digest_of(const Eigen::VectorXd& numbers) {
  std::uint64_t hash = 0x6A09E667F3BCC908;
  for (Index i = 0; i < numbers.size(); ++i) {
    std::uint64_t word;
    std::memcpy(&word, numbers.data() + i, sizeof word);
    hash = (hash ^ word) * 0x9E3779B97F4A7C15;
    hash ^= hash >> 32;
  }
  return detail::text(numbers.size(), " numbers with digest ", hash);
}

/// The same of a matrix, with its shape.
inline std::string digest_of_matrix(const Eigen::MatrixXd& numbers) {
  Eigen::VectorXd all(numbers.size());
  for (Index i = 0; i < numbers.size(); ++i) all[i] = numbers.data()[i];
  return detail::text(numbers.rows(), " rows, ", digest_of(all));
}

/// Something in which all ranks must agree, as a text.
struct Common {
  const char* name;
  std::string value;
};

/// Throws std::invalid_argument on all ranks unless they agree in the library's version, in the width of its registers,
/// and in `facts`.
inline void require_same(const Communicator& ranks, std::vector<Common> facts) {
  if (ranks.alone()) return;
  facts.insert(facts.begin(),
               {{"scorematch's version",
                 detail::text(SCOREMATCH_VERSION_MAJOR, '.', SCOREMATCH_VERSION_MINOR, '.', SCOREMATCH_VERSION_PATCH)},
                {"the build's registers, in bytes (-march)",
                 detail::text(sizeof(double) * static_cast<std::size_t>(simd::width<simd::Lanes<double>>))},
#ifdef __FMA__
                {"the build's fused products (-march)", "there"},
#else
                {"the build's fused products (-march)", "not there"},
#endif
                {"the number of ranks", detail::text(ranks.size())}});
  std::string own;
  for (const Common& fact : facts) own += fact.name + std::string(1, '\0') + fact.value + '\0';
  const std::vector<std::string> all = gather(ranks, own);
  for (int rank = 1; rank < ranks.size(); ++rank) {
    std::size_t at = 0, there = 0;
    const std::string &first = all.front(), &other = all[static_cast<std::size_t>(rank)];
    if (first == other) continue;
    const auto next = [](const std::string& text, std::size_t& from) {
      const std::size_t end = std::min(text.find('\0', from), text.size());
      const std::string part = text.substr(std::min(from, text.size()), end - std::min(from, text.size()));
      from = end + 1;
      return part;
    };
    for (std::size_t k = 0; k < 2 * facts.size() + 2; ++k) {
      const std::string name = next(first, at), value = next(first, at), name_there = next(other, there),
                        value_there = next(other, there);
      if (name == name_there && value == value_there) continue;
      throw AgreedArgument(name == name_there
                               ? detail::text("scorematch: the ranks of the communicator differ: ", name, " is ", value,
                                              " on rank 0 and ", value_there, " on rank ", rank)
                               : detail::text("scorematch: rank 0 and rank ", rank,
                                              " of the communicator call different functions, or different builds"));
    }
  }
}

/// Throws std::invalid_argument on all ranks unless the model has the same parameters on all.
template <class M>
void require_same_theta(const Communicator& ranks, const M& model) {
  if (ranks.alone()) return;
  if constexpr (extend::has_parameters<M>) require_same(ranks, {{"theta", digest_of(model.parameters())}});
}

/// Rank 0's callback alone is called; what it returns holds for all ranks. Whether it has one is asked here.
inline ProgressCallback shared_progress(const Communicator& ranks, const ProgressCallback& own) {
  if (ranks.alone()) return own;
  bool any = own != nullptr;
  broadcast(ranks, 0, any);
  if (!any) return {};
  return [ranks, own](const Progress& progress) {
    bool go_on = true;
    if (ranks.first()) go_on = own(progress);
    broadcast(ranks, 0, go_on);
    return go_on;
  };
}

}  // namespace scorematch::ranks
