// expect: a communicator must provide  void send\(int to, const void\* data, std::size_t bytes\) const
#include <scorematch/ranks/communicator.hpp>

namespace sm = scorematch;

struct Pigeons {
  int rank() const { return 0; }
  int size() const { return 1; }
#ifdef CORRECT
  void send(int, const void*, std::size_t) const {}
#endif
  void receive(int, void*, std::size_t) const {}
  void broadcast(int, void*, std::size_t) const {}
  void abort(const std::string&) const {}
};

sm::Communicator user() { return Pigeons{}; }
