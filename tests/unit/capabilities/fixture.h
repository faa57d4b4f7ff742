// A directory of its own for each test, with the few words that tests of skills need.
#pragma once

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include "common/errors.h"

namespace sharkcage {

class Scratch : public testing::Test {
 protected:
  Scratch() {
    std::string name = std::filesystem::temp_directory_path().string() + "/sc-cap-XXXXXX";
    if (::mkdtemp(name.data()) == nullptr) throw_errno("mkdtemp", name);
    root_ = std::filesystem::canonical(name).string();
  }
  ~Scratch() override {
    std::error_code error;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(root_, error)) {
      if (!entry.is_symlink() && entry.is_directory()) {
        std::filesystem::permissions(entry, std::filesystem::perms::owner_all, error);
      }
    }
    std::filesystem::remove_all(root_, error);
  }

  std::string at(const std::string& path) const { return root_ + "/" + path; }

  std::string make_directory(const std::string& path) const {
    std::filesystem::create_directories(at(path));
    return at(path);
  }

  std::string write(const std::string& path, const std::string& text, mode_t mode = 0644) const {
    std::filesystem::create_directories(std::filesystem::path(at(path)).parent_path());
    std::ofstream(at(path), std::ios::binary | std::ios::trunc) << text;
    if (::chmod(at(path).c_str(), mode) != 0) throw_errno("chmod", path);
    return at(path);
  }

  void link(const std::string& target, const std::string& path) const {
    std::filesystem::create_directories(std::filesystem::path(at(path)).parent_path());
    std::filesystem::create_symlink(target, at(path));
  }

  std::string root_;
};

// The text of the UserError that `action` throws, remedy included.
template <typename Action>
std::string complaint_of(Action action) {
  try {
    action();
  } catch (const UserError& error) {
    return error.full();
  } catch (const std::exception& error) {
    ADD_FAILURE() << "not a UserError: " << error.what();
    return {};
  }
  ADD_FAILURE() << "nothing was refused";
  return {};
}

}  // namespace sharkcage
