// The samples of a loss whose data are shared out over ranks: which runs of blocks each rank computes, and the columns
// that it lacks for them.
//
// The partition into blocks and runs is that of one process: it depends on the number of all samples. A run of the
// whole data, or of columns in ascending order, belongs to the rank that has its first sample, so that data stay where
// they are but for what crosses from one rank to the next, less than a run a rank. The runs of a minibatch in random
// order are spread evenly, and its samples go where they are needed: d numbers for each.
#pragma once

#include <algorithm>
#include <span>
#include <vector>

#include "scorematch/ranks/shards.hpp"
#include "scorematch/types.hpp"

namespace scorematch::objective {

/// Samples of a block, in a rank's memory.
template <class T>
struct BlockSource {
  const T* data = nullptr;
  Index stride = 0, first = 0;  ///< of its first sample, from `data` and `labels` on
  const int* labels = nullptr;  ///< null: none

  auto view(Index d, Index count) const {
    return Eigen::Map<const Matrix<T>, 0, Eigen::OuterStride<>>(data + first * stride, d, count,
                                                                Eigen::OuterStride<>(stride));
  }
};

template <class T>
class SamplesOnRanks {
 public:
  /// A rank's runs, and the places of their samples among those of the call.
  struct Part {
    Index first_run = 0, end_run = 0, begin = 0, end = 0;
  };

  explicit SamplesOnRanks(const ranks::Shards& shards) : shards_(shards) {}

  const ranks::Shards& shards() const { return shards_; }
  const Part& part() const { return parts_[static_cast<std::size_t>(shards_.rank())]; }
  /// The next rank after `rank` (before, where `step` is −1) that has runs; −1: none.
  int neighbour(int rank, int step) const {
    for (rank += step; rank >= 0 && rank < shards_.size(); rank += step)
      if (has_runs(rank)) return rank;
    return -1;
  }
  int last() const { return neighbour(shards_.size(), -1); }
  bool has_runs(int rank) const {
    return parts_[static_cast<std::size_t>(rank)].first_run < parts_[static_cast<std::size_t>(rank)].end_run;
  }

  /// Shares out `runs` of `run` samples each, of `count`. `own`: this rank's columns, which must stay where they are
  /// until the next call.
  void share_out(const MatrixView<T>& own, std::span<const Index> columns, Index count, Index run, Index runs) {
    own_ = {own.data(), own.rows(), own.outerStride()};
    columns_ = columns;
    parts_.assign(static_cast<std::size_t>(shards_.size()), Part{});
    const bool ordered = columns.empty() || std::is_sorted(columns.begin(), columns.end());
    for (Index k = 0; k < runs; ++k) {
      const Index first = k * run;
      const int rank = ordered ? shards_.owner(columns.empty() ? first : columns[static_cast<std::size_t>(first)])
                               : static_cast<int>(k * shards_.size() / runs);
      Part& part = parts_[static_cast<std::size_t>(rank)];
      if (part.end_run == 0) part = {k, k, first, first};
      part.end_run = k + 1;
      part.end = std::min(count, first + run);
    }
    placed_ = false;
  }

  /// Gives each rank the samples at these places, whoever has them.
  void set_parts(const MatrixView<T>& own, std::span<const Index> columns, std::vector<Part> parts) {
    own_ = {own.data(), own.rows(), own.outerStride()};
    columns_ = columns;
    parts_ = std::move(parts);
    placed_ = true;
  }

  /// Sends the others what they lack, and receives what this rank lacks. `labelled`: there are labels, of which this
  /// rank has those of its own columns.
  void bring(std::span<const int> labels, bool labelled) {
    labels_ = labels;
    labelled_ = labelled;
    const bool whole = columns_.empty();
    std::vector<Index> wanted{placed_ ? 1 : 0};
    for (const Part& part : parts_) wanted.insert(wanted.end(), {part.begin, part.end});
    if (whole && !labelled && wanted == have_) return;
    have_ = whole ? wanted : std::vector<Index>();
    const int R = shards_.size(), me = shards_.rank();
    for (int to = 0; to < R; ++to)
      if (to != me) send(to);
    begin_ = begin_of(me);
    brought_.resize(own_.d, std::max<Index>(0, end_of(me) - begin_));
    brought_labels_.resize(labelled ? static_cast<std::size_t>(brought_.cols()) : 0);
    for (int from = 0; from < R; ++from) receive(from);
  }

  /// The block of `count` samples from place `first` on; `room` holds one that lies in two pieces.
  BlockSource<T> block(Index first, Index count, Matrix<T>& room, std::vector<int>& room_labels) const {
    if (begin_ <= first) return {brought_.data(), brought_.rows(), first - begin_, labels_of(brought_labels_)};
    if (first + count <= begin_)
      return {own_.data, own_.stride, first - shards_.first(), labelled_ ? labels_.data() : nullptr};
    room.resize(own_.d, count);
    room_labels.resize(labelled_ ? static_cast<std::size_t>(count) : 0);
    for (Index i = 0; i < count; ++i) {
      const bool here = first + i < begin_;
      const Index at = first + i - (here ? shards_.first() : begin_);
      std::copy_n(here ? own_.column(at) : brought_.data() + at * brought_.rows(), own_.d, room.data() + i * own_.d);
      if (labelled_)
        room_labels[static_cast<std::size_t>(i)] =
            here ? labels_[static_cast<std::size_t>(at)] : brought_labels_[static_cast<std::size_t>(at)];
    }
    return {room.data(), room.rows(), 0, labels_of(room_labels)};
  }

  /// Numbers that every run adds to, from rank to rank in the order of the runs: add(first, count) adds this rank's
  /// runs to such a slice of `total`, so that one rank adds to a slice while the next adds to the one before. All ranks
  /// have the sum in the end. Each rank that has runs sends `size` numbers to the next, and the last broadcasts them.
  template <class Add>
  void add_in_turn(double* total, Index size, Add add) const {
    constexpr Index slice = 1 << 15;  // 256 KB: long beside what it takes to send a message, short beside most θ
    const Communicator& communicator = shards_.communicator();
    const int me = shards_.rank(), before = has_runs(me) ? neighbour(me, -1) : -1,
              after = has_runs(me) ? neighbour(me, 1) : -1;
    for (Index first = 0; has_runs(me) && first < size; first += slice) {
      const Index count = std::min(slice, size - first);
      const std::size_t bytes = static_cast<std::size_t>(count) * sizeof(double);
      if (before >= 0) communicator.receive(before, total + first, bytes);
      add(first, count);
      if (after >= 0) communicator.send(after, total + first, bytes);
    }
    communicator.broadcast(last(), total, static_cast<std::size_t>(size) * sizeof(double));
  }

 private:
  const int* labels_of(const std::vector<int>& labels) const { return labelled_ ? labels.data() : nullptr; }
  Index column(Index place) const { return columns_.empty() ? place : columns_[static_cast<std::size_t>(place)]; }

  // What a rank has to be brought: of the whole data what follows its own columns.
  Index begin_of(int rank) const {
    const Part& part = parts_[static_cast<std::size_t>(rank)];
    if (!columns_.empty() || placed_) return part.begin;
    return std::max(part.begin, std::min(part.end, shards_.end(rank)));
  }
  Index end_of(int rank) const { return parts_[static_cast<std::size_t>(rank)].end; }

  template <class Visit>
  void each_of(int owner, int wanting, Visit visit) const {
    for (Index place = begin_of(wanting); place < end_of(wanting); ++place)
      if (shards_.owner(column(place)) == owner) visit(place);
  }

  void send(int to) {
    packed_.clear();
    packed_labels_.clear();
    each_of(shards_.rank(), to, [&](Index place) {
      const Index at = column(place) - shards_.first();
      const T* from = own_.column(at);
      packed_.insert(packed_.end(), from, from + own_.d);
      if (labelled_) packed_labels_.push_back(labels_[static_cast<std::size_t>(at)]);
    });
    shards_.communicator().send(to, packed_.data(), packed_.size() * sizeof(T));
    shards_.communicator().send(to, packed_labels_.data(), packed_labels_.size() * sizeof(int));
  }

  void receive(int from) {
    const int me = shards_.rank();
    std::vector<Index> places;
    each_of(from, me, [&](Index place) { places.push_back(place); });
    packed_.resize(places.size() * static_cast<std::size_t>(own_.d));
    packed_labels_.resize(labelled_ ? places.size() : 0);
    if (from != me) {
      shards_.communicator().receive(from, packed_.data(), packed_.size() * sizeof(T));
      shards_.communicator().receive(from, packed_labels_.data(), packed_labels_.size() * sizeof(int));
    }
    for (std::size_t k = 0; k < places.size(); ++k) {
      const Index at = column(places[k]) - shards_.first();
      const T* numbers = from == me ? own_.column(at) : packed_.data() + static_cast<Index>(k) * own_.d;
      std::copy_n(numbers, own_.d, brought_.data() + (places[k] - begin_) * own_.d);
      if (labelled_)
        brought_labels_[static_cast<std::size_t>(places[k] - begin_)] =
            from == me ? labels_[static_cast<std::size_t>(at)] : packed_labels_[k];
    }
  }

  struct Own {
    const T* data = nullptr;
    Index d = 0, stride = 0;
    const T* column(Index at) const { return data + at * stride; }
  };

  Own own_;
  ranks::Shards shards_;
  std::vector<Part> parts_;
  std::span<const Index> columns_;
  std::span<const int> labels_;
  bool labelled_ = false;
  bool placed_ = false;  ///< by set_parts: also of the whole data, samples of other ranks

  std::vector<Index> have_;  ///< the places that were brought last, of the whole data
  Index begin_ = 0;          ///< the place of brought_'s first column
  Matrix<T> brought_;
  std::vector<int> brought_labels_, packed_labels_;
  std::vector<T> packed_;
};

}  // namespace scorematch::objective
