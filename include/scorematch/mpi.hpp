// MPI's processes as ranks: the one header that includes MPI (its C interface). CMake: target scorematch::mpi.
#pragma once

#include <mpi.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <list>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "scorematch/check.hpp"
#include "scorematch/ranks/communicator.hpp"

namespace scorematch::mpi {

/// The processes of an MPI communicator: an extend::CommunicatorLike. Messages go by a duplicate of it, so that they
/// meet none of the program's own. All processes of the communicator make it together.
class Processes {
 public:
  /// Those of `communicator`, which MPI_Init has begun.
  explicit Processes(MPI_Comm communicator) : state_(std::make_shared<State>()) {
    MPI_Comm_dup(communicator, &state_->all);
    MPI_Comm_rank(state_->all, &rank_);
    MPI_Comm_size(state_->all, &size_);
  }

  /// As in extend::CommunicatorLike.
  ///@{
  int rank() const { return rank_; }
  int size() const { return size_; }
  void send(int to, const void* data, std::size_t bytes) const {
    state_->drop_arrived();
    Letter& letter = state_->under_way.emplace_back();
    letter.bytes.assign(static_cast<const char*>(data), static_cast<const char*>(data) + bytes);
    in_parts(bytes, [&](std::size_t first, int count) {
      MPI_Isend(letter.bytes.data() + first, count, MPI_BYTE, to, tag, state_->all,
                &letter.requests.emplace_back(MPI_REQUEST_NULL));
    });
  }
  void receive(int from, void* data, std::size_t bytes) const {
    in_parts(bytes, [&](std::size_t first, int count) {
      MPI_Recv(static_cast<char*>(data) + first, count, MPI_BYTE, from, tag, state_->all, MPI_STATUS_IGNORE);
    });
    state_->drop_arrived();
  }
  void broadcast(int root, void* data, std::size_t bytes) const {
    in_parts(bytes, [&](std::size_t first, int count) {
      MPI_Bcast(static_cast<char*>(data) + first, count, MPI_BYTE, root, state_->all);
    });
  }
  /// Does not return: MPI ends all processes.
  void abort(const std::string& message) const {
    std::fprintf(stderr, "%s\n", message.c_str());
    std::fflush(stderr);
    MPI_Abort(state_->all, 1);
  }
  ///@}

 private:
  static constexpr int tag = 0;

  struct Letter {
    std::vector<char> bytes;
    std::vector<MPI_Request> requests;
  };
  struct State {
    MPI_Comm all = MPI_COMM_NULL;
    std::list<Letter> under_way;  ///< a list, since MPI keeps the addresses

    void drop_arrived() {
      while (!under_way.empty()) {
        Letter& first = under_way.front();
        int arrived = 0;
        MPI_Testall(static_cast<int>(first.requests.size()), first.requests.data(), &arrived, MPI_STATUSES_IGNORE);
        if (arrived == 0) return;
        under_way.pop_front();
      }
    }
    ~State() {
      int ended = 0;
      MPI_Finalized(&ended);
      if (ended != 0) return;
      for (Letter& letter : under_way)
        MPI_Waitall(static_cast<int>(letter.requests.size()), letter.requests.data(), MPI_STATUSES_IGNORE);
      MPI_Comm_free(&all);
    }
  };

  // MPI counts in int.
  template <class Part>
  static void in_parts(std::size_t bytes, Part part) {
    constexpr std::size_t most = std::size_t{1} << 30;
    for (std::size_t first = 0; first < bytes; first += most)
      part(first, static_cast<int>(std::min(most, bytes - first)));
  }

  std::shared_ptr<State> state_;
  int rank_ = 0, size_ = 1;
};

/// The processes of `communicator`, which MPI_Init has begun; all of them call this together.
inline Communicator communicator(MPI_Comm communicator) { return Processes(communicator); }

/// All processes that mpirun (or srun) started; one alone where the program was started by itself. The first call
/// begins MPI, unless the program has; then MPI is ended at the program's end. All processes call it together the first
/// time. Throws std::runtime_error where MPI does not begin.
inline Communicator world() {
  static const Communicator all = [] {
    int begun = 0;
    MPI_Initialized(&begun);
    if (begun == 0) {
      int provided = 0;
      if (MPI_Init_thread(nullptr, nullptr, MPI_THREAD_FUNNELED, &provided) != MPI_SUCCESS)
        throw std::runtime_error("scorematch: MPI_Init_thread failed");
      std::atexit([] {
        int ended = 0;
        MPI_Finalized(&ended);
        if (ended == 0) MPI_Finalize();
      });
    }
    return communicator(MPI_COMM_WORLD);
  }();
  return all;
}

}  // namespace scorematch::mpi
