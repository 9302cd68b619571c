// Zip archives as far as .npz files need them: members that are stored or deflated, of any size (zip64).
//
// An archive lists its members twice: each has a header before its bytes, and all stand in a directory at the end.
// Where the two disagree nobody knows which reader takes which, so the archive is refused. Format: PKWARE, APPNOTE.TXT.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

#include "scorematch/io/byte_order.hpp"
#include "scorematch/io/file.hpp"
#include "scorematch/io/inflate.hpp"
#include "scorematch/io/utf8.hpp"

namespace scorematch::io {

/// The CRC-32 of zip archives (ISO 3309), 0 for no bytes.
inline std::uint32_t crc32(std::string_view bytes) {
  static constexpr std::array<std::uint32_t, 256> table = [] {
    std::array<std::uint32_t, 256> all{};
    for (std::uint32_t i = 0; i < 256; ++i) {
      all[i] = i;
      for (int bit = 0; bit < 8; ++bit) all[i] = (all[i] >> 1) ^ ((all[i] & 1) != 0 ? 0xEDB88320 : 0);
    }
    return all;
  }();
  std::uint32_t sum = 0xFFFFFFFF;
  for (const char byte : bytes) sum = (sum >> 8) ^ table[(sum ^ static_cast<unsigned char>(byte)) & 255];
  return ~sum;
}

/// What both lists of an archive say of a member.
struct ZipMember {
  std::string name;
  unsigned flags = 0, method = 0;  ///< method 0: stored, 8: deflated
  std::uint32_t crc = 0;
  std::uint64_t packed = 0, size = 0, offset = 0;  ///< bytes in the archive, bytes unpacked, where its header is
  std::string_view bytes = {};                     ///< in the archive
};

/// Reads the lists of an archive.
class ZipReader {
 public:
  ZipReader(const std::string& path, std::string_view file) : path_(path), file_(file) {}

  std::vector<ZipMember> members() {
    find_directory();
    std::vector<ZipMember> all;
    std::uint64_t at = directory_;
    for (std::uint64_t i = 0; i < count_; ++i) all.push_back(member_of_directory(at));
    if (at != directory_end_) faulty(detail::text("its directory ends at byte ", at, ", not at ", directory_end_));
    for (ZipMember& member : all) find_bytes(member);
    require_apart(all);
    return all;
  }

 private:
  static constexpr std::uint32_t local_mark = 0x04034B50, member_mark = 0x02014B50, end_mark = 0x06054B50,
                                 end64_mark = 0x06064B50, locator_mark = 0x07064B50, descriptor_mark = 0x08074B50;
  static constexpr std::uint64_t end_size = 22, end64_size = 56, locator_size = 20, member_size = 46, local_size = 30;
  static constexpr unsigned is_encrypted = 1, sizes_follow = 8, other_bits = 0xFFFF ^ (2 | 4 | 0x800);

  [[noreturn]] void faulty(const std::string& complaint) const {
    file_error(path_, "is a faulty zip archive: ", complaint);
  }

  template <class T>
  T number(std::uint64_t at) const {
    if (at > file_.size() || file_.size() - at < sizeof(T)) faulty(detail::text("it ends before byte ", at));
    T value;
    std::memcpy(&value, file_.data() + at, sizeof(T));
    return little_endian(value);
  }
  unsigned two(std::uint64_t at) const { return number<std::uint16_t>(at); }
  std::uint32_t four(std::uint64_t at) const { return number<std::uint32_t>(at); }
  std::uint64_t eight(std::uint64_t at) const { return number<std::uint64_t>(at); }
  std::string_view part(std::uint64_t at, std::uint64_t size) const {
    if (at > file_.size() || file_.size() - at < size) faulty(detail::text("it ends before byte ", at));
    return file_.substr(static_cast<std::size_t>(at), static_cast<std::size_t>(size));
  }

  /// Where the directory is, as the record at the end of the archive says, after which there is only its comment.
  void find_directory() {
    std::uint64_t end = file_.size();
    const auto is_end = [&](std::uint64_t at) {
      return four(at) == end_mark && two(at + 20) == file_.size() - at - end_size;
    };
    if (file_.size() >= end_size)
      for (end = file_.size() - end_size; !is_end(end) && end > 0 && file_.size() - end < 65536 + end_size;) --end;
    if (file_.size() < end_size || !is_end(end))
      file_error(path_, "is no zip archive, or is truncated: it has no record of its end");
    if (two(end + 4) != 0 || two(end + 6) != 0 || two(end + 8) != two(end + 10)) faulty("it is one of several parts");
    count_ = two(end + 10);
    std::uint64_t size = four(end + 12);
    directory_ = four(end + 16);
    if (end >= locator_size && four(end - locator_size) == locator_mark) {
      const std::uint64_t locator = end - locator_size, end64 = eight(locator + 8);
      if (end64 > locator || locator - end64 < end64_size || four(end64) != end64_mark ||
          eight(end64 + 4) != locator - end64 - 12)
        faulty("its zip64 record is not where it says");
      const auto agrees = [](std::uint64_t small, std::uint64_t most, std::uint64_t large) {
        return small == most || small == large;
      };
      if (four(locator + 4) != 0 || four(locator + 16) > 1 || four(end64 + 16) != 0 || four(end64 + 20) != 0 ||
          eight(end64 + 24) != eight(end64 + 32))
        faulty("it is one of several parts");
      if (!agrees(count_, 0xFFFF, eight(end64 + 32)) || !agrees(size, 0xFFFFFFFF, eight(end64 + 40)) ||
          !agrees(directory_, 0xFFFFFFFF, eight(end64 + 48)))
        faulty("its zip64 record and the other one disagree");
      count_ = eight(end64 + 32);
      size = eight(end64 + 40);
      directory_ = eight(end64 + 48);
      end = end64;
    }
    directory_end_ = end;
    if (directory_ > end || size != end - directory_)
      faulty(detail::text("its directory is to have ", size, " bytes from byte ", directory_, ", and ends at ", end));
    if (count_ > size / member_size)
      faulty(detail::text("it has ", count_, " members, it says, in a directory of ", size, " bytes"));
  }

  /// Takes from an extra field those of `values` that are the largest number of 32 bits, in their order: zip64's.
  void take_zip64(std::string_view extra, const std::string& name, std::vector<std::uint64_t*> values) const {
    std::erase_if(values, [](const std::uint64_t* value) { return *value != 0xFFFFFFFF; });
    if (values.empty()) return;
    const auto two_at = [&](std::size_t at) {
      return static_cast<std::size_t>(static_cast<unsigned char>(extra[at]) +
                                      256 * static_cast<unsigned char>(extra[at + 1]));
    };
    while (extra.size() >= 4) {
      const std::size_t size = two_at(2);
      if (size > extra.size() - 4) break;
      if (two_at(0) == 1 && size >= 8 * values.size()) {
        for (std::size_t i = 0; i < values.size(); ++i) {
          std::memcpy(values[i], extra.data() + 4 + 8 * i, 8);
          *values[i] = little_endian(*values[i]);
        }
        return;
      }
      extra.remove_prefix(4 + size);
    }
    faulty(detail::text("member ", in_quotes(name), " has no zip64 sizes, which its header refers to"));
  }

  /// The member whose entry of the directory is at byte `at`, which moves on.
  ZipMember member_of_directory(std::uint64_t& at) const {
    if (at > directory_end_ || directory_end_ - at < member_size || four(at) != member_mark)
      faulty(detail::text("no entry of its directory begins at byte ", at));
    const unsigned name_size = two(at + 28), extra_size = two(at + 30), comment_size = two(at + 32);
    ZipMember member{std::string(part(at + member_size, name_size)),
                     two(at + 8),
                     two(at + 10),
                     four(at + 16),
                     four(at + 20),
                     four(at + 24),
                     four(at + 42)};
    const std::string name = in_quotes(member.name);
    take_zip64(part(at + member_size + name_size, extra_size), member.name,
               {&member.size, &member.packed, &member.offset});
    if (two(at + 34) != 0 && two(at + 34) != 0xFFFF) faulty("it is one of several parts");
    if ((member.flags & is_encrypted) != 0) file_error(path_, "has member ", name, ", which is encrypted");
    if (member.method != 0 && member.method != 8)
      file_error(path_, "has member ", name, ", compressed by method ", member.method,
                 "; stored (numpy.savez) and deflated (numpy.savez_compressed) ones can be read");
    if (first_not_utf8(member.name) != member.name.npos)
      file_error(path_, "has member ", name, ", whose name is not UTF-8");
    // Two bits of deflate, the shortest word for a length and one for a distance, give 258 bytes.
    if (member.method == 0 ? member.size != member.packed : member.size / 1032 > member.packed)
      faulty(
          detail::text("member ", name, " has ", member.packed, " bytes, which cannot be ", member.size, " unpacked"));
    at += member_size + name_size + extra_size + comment_size;
    return member;
  }

  /// Where a member's bytes are, after its own header, which must say what the directory says.
  void find_bytes(ZipMember& member) {
    const std::uint64_t at = member.offset;
    const std::string name = in_quotes(member.name);
    const auto disagree = [&](const char* what) {
      faulty(detail::text("the header of member ", name, " and the directory disagree in ", what));
    };
    if (at > directory_ || directory_ - at < local_size || four(at) != local_mark)
      faulty(detail::text("no header of member ", name, " is at byte ", at));
    const std::uint64_t name_size = two(at + 26), extra_size = two(at + 28),
                        begin = at + local_size + name_size + extra_size;
    if (part(at + local_size, name_size) != member.name) disagree("its name");
    if (two(at + 8) != member.method) disagree("its compression");
    if (((two(at + 6) ^ member.flags) & other_bits) != 0) disagree("its flags");
    std::uint64_t packed = four(at + 18), size = four(at + 22);
    take_zip64(part(at + local_size + name_size, extra_size), member.name, {&size, &packed});
    const bool is_open = (member.flags & sizes_follow) != 0;  // whoever wrote the header did not know them
    const auto may_be = [&](std::uint64_t here, std::uint64_t there) {
      return here == there || (is_open && here == 0);
    };
    if (!may_be(packed, member.packed) || !may_be(size, member.size)) disagree("its size");
    if (!may_be(four(at + 14), member.crc)) disagree("its checksum");
    if (begin > directory_ || directory_ - begin < member.packed)
      faulty(detail::text("member ", name, " reaches into the directory"));
    member.bytes = part(begin, member.packed);
    ends_.push_back(begin + member.packed);
    if (is_open) ends_.back() += descriptor_size(member, ends_.back());
  }

  /// The bytes of what follows a member whose header does not say its sizes: checksum and sizes of 32 or 64 bits,
  /// perhaps after a mark.
  std::uint64_t descriptor_size(const ZipMember& member, std::uint64_t at) const {
    for (const std::uint64_t mark_size : {std::uint64_t{4}, std::uint64_t{0}})
      for (const std::uint64_t each : {std::uint64_t{8}, std::uint64_t{4}}) {
        const std::uint64_t begin = at + mark_size, size = mark_size + 4 + 2 * each;
        if (directory_ - at < size || (mark_size > 0 && four(at) != descriptor_mark)) continue;
        const auto sized = [&](std::uint64_t place) { return each == 8 ? eight(place) : std::uint64_t{four(place)}; };
        if (four(begin) == member.crc && sized(begin + 4) == member.packed && sized(begin + 4 + each) == member.size)
          return size;
      }
    faulty(detail::text("what follows member ", in_quotes(member.name),
                        " and the directory disagree in its size or checksum"));
  }

  /// No byte may belong to two members.
  void require_apart(const std::vector<ZipMember>& all) const {
    std::vector<std::size_t> order(all.size());
    for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
    std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return all[a].offset < all[b].offset; });
    for (std::size_t i = 1; i < order.size(); ++i)
      if (all[order[i]].offset < ends_[order[i - 1]])
        faulty(detail::text("members ", in_quotes(all[order[i - 1]].name), " and ", in_quotes(all[order[i]].name),
                            " overlap"));
    if (!order.empty() && ends_[order.back()] > directory_)
      faulty(detail::text("member ", in_quotes(all[order.back()].name), " reaches into the directory"));
  }

  const std::string& path_;
  std::string_view file_;
  std::uint64_t count_ = 0, directory_ = 0, directory_end_ = 0;
  std::vector<std::uint64_t> ends_;  ///< where each member's bytes end, with what follows them
};

/// The bytes of a member, unpacked into `room` where they are compressed. Throws std::runtime_error where they are not
/// those that the checksum was made of.
inline std::string_view unpacked(const std::string& path, const ZipMember& member, std::string& room) {
  std::string_view bytes = member.bytes;
  if (member.method == 8) {
    if (member.size > std::numeric_limits<std::size_t>::max() / 2)
      file_error(path, "unpacks to ", member.size, " bytes, more than this machine can hold");
    room = Inflater(path, member.bytes, static_cast<std::size_t>(member.size)).inflate();
    bytes = room;
  }
  if (crc32(bytes) != member.crc) file_error(path, "is damaged: its bytes are not those of its checksum (CRC-32)");
  return bytes;
}

/// Writes an archive of stored members.
class ZipWriter {
 public:
  /// Numbers from `most` on are written by zip64; a test lowers it.
  explicit ZipWriter(const std::string& path, std::uint64_t most = 0xFFFFFFFF) : file_(path), most_(most) {}

  void add(const std::string& name, std::string_view bytes) {
    const bool large = bytes.size() >= most_, far = at_ >= most_;
    const std::uint32_t crc = crc32(bytes);
    std::string extra;
    if (large) append(extra, std::uint64_t{bytes.size()}, std::uint64_t{bytes.size()});
    const auto header = [&](bool in_directory, const std::string& more) {
      std::string out;
      append(out, std::uint32_t{in_directory ? 0x02014B50u : 0x04034B50u});
      if (in_directory) append(out, std::uint16_t{45});  // made by 4.5, MS-DOS: no permissions of files
      const bool is_ascii =
          std::all_of(name.begin(), name.end(), [](char c) { return static_cast<signed char>(c) >= 0; });
      const auto size = static_cast<std::uint32_t>(large ? 0xFFFFFFFF : bytes.size());
      append(out, static_cast<std::uint16_t>(more.empty() ? 20 : 45), static_cast<std::uint16_t>(is_ascii ? 0 : 0x800),
             std::uint16_t{0}, std::uint16_t{0}, std::uint16_t{0x21}, crc, size, size,  // 1 January 1980
             static_cast<std::uint16_t>(name.size()), static_cast<std::uint16_t>(more.empty() ? 0 : more.size() + 4));
      if (in_directory)
        append(out, std::uint16_t{0}, std::uint16_t{0}, std::uint16_t{0}, std::uint32_t{0},
               static_cast<std::uint32_t>(far ? 0xFFFFFFFF : at_));
      out += name;
      if (!more.empty()) append(out, std::uint16_t{1}, static_cast<std::uint16_t>(more.size()));
      return out + more;
    };
    const std::string before = header(false, extra);
    if (far) append(extra, at_);
    directory_ += header(true, extra);
    file_.write(before);
    file_.write(bytes);
    at_ += before.size() + bytes.size();
    ++count_;
  }

  void finish() {
    std::string end;
    const std::uint64_t size = directory_.size();
    if (count_ >= std::min<std::uint64_t>(most_, 0xFFFF) || size >= most_ || at_ >= most_) {
      append(end, std::uint32_t{0x06064B50}, std::uint64_t{44}, std::uint16_t{45}, std::uint16_t{45}, std::uint32_t{0},
             std::uint32_t{0}, count_, count_, size, at_);
      append(end, std::uint32_t{0x07064B50}, std::uint32_t{0}, at_ + size, std::uint32_t{1});
      count_ = 0xFFFF;
    }
    const auto count = static_cast<std::uint16_t>(count_);
    append(end, std::uint32_t{0x06054B50}, std::uint32_t{0}, count, count,
           static_cast<std::uint32_t>(size >= most_ ? 0xFFFFFFFF : size),
           static_cast<std::uint32_t>(at_ >= most_ ? 0xFFFFFFFF : at_), std::uint16_t{0});
    file_.write(directory_);
    file_.write(end);
    file_.finish();
  }

 private:
  template <class... Numbers>
  static void append(std::string& out, Numbers... numbers) {
    const auto one = [&](auto number) {
      number = little_endian(number);
      out.append(reinterpret_cast<const char*>(&number), sizeof number);
    };
    (one(numbers), ...);
  }

  OutputFile file_;
  std::uint64_t most_, at_ = 0, count_ = 0;
  std::string directory_;
};

}  // namespace scorematch::io
