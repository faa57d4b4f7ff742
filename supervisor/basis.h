// What a sandbox is made from: a policy, whose it is, and what its paths lead to now. Two calls may
// use one sandbox, and one that was prepared ahead may be used, only while nothing of this differs.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "capabilities/policy.h"
#include "common/git_identity.h"
#include "supervisor/sandbox/spec.h"

namespace sharkcage {

// The person for whom commands run.
struct Account {
  uid_t uid = 0;
  gid_t gid = 0;
  std::string name;
  bool operator==(const Account&) const = default;
};

// From the user database; a uid that it does not have is "user". Remembered: reading it costs more
// than a call has. One thread.
const Account& account_of(uid_t uid);

struct Basis {
  Policy policy;
  Account account;
  std::vector<sandbox::JudgedPath> paths;
  // What there is at each of `policy.hidden`: what came to be there since a sandbox was made has no
  // mount over it.
  std::vector<std::string> covered;
  // The same of files that run code later, at the top of what is writable: each that exists.
  struct Kept {
    std::string path;
    std::string state;
    bool operator==(const Kept&) const = default;
  };
  std::vector<Kept> kept;
  // The top of what is writable, and which ".git" is there (device and inode), or none ("-").
  struct Top {
    std::string path;
    std::string git;
    std::string made;  // which one was there when a command of the sandbox had returned
  };
  std::vector<Top> tops;
  // Of the person, where commands may write to a workspace; else nothing.
  GitIdentity git;

  // All but the time limit, which is the command's and not the sandbox's.
  bool allows_the_same(const Basis& other) const;
  // The same for a sandbox in which commands have been: a repository that came while they ran may
  // be at the top of what was writable, where there was none. The deputy knows what was made there,
  // and protects it as any below the top, which have no mounts either.
  bool still_allows(const Basis& other) const;
  // A command has returned.
  void note_repositories();

 private:
  bool allows_as_much(const Basis& other) const;
};

// Opens and judges every path of the policy. Throws UserError naming the path.
Basis make_basis(const Policy& policy, const Account& account, const std::string& skills_dir,
                 bool privileged);

}  // namespace sharkcage
