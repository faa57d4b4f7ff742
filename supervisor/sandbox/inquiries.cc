#include "supervisor/sandbox/inquiries.h"

#include <malloc.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <thread>
#include <tuple>

#include "common/errors.h"

namespace sharkcage::sandbox {
namespace {

// A pointer in a pipe is written and read as a whole (pipe(7), PIPE_BUF). As many fit as tasks can
// wait at a time, and far more.
bool send(int pipe, std::unique_ptr<Inquiry> inquiry) {
  Inquiry* const pointer = inquiry.release();
  if (::write(pipe, &pointer, sizeof pointer) == sizeof pointer) return true;
  delete pointer;
  return false;
}

std::unique_ptr<Inquiry> receive(int pipe) {
  Inquiry* pointer = nullptr;
  ssize_t got = 0;
  do {
    got = ::read(pipe, &pointer, sizeof pointer);
  } while (got < 0 && errno == EINTR);
  return std::unique_ptr<Inquiry>(got == sizeof pointer ? pointer : nullptr);
}

}  // namespace

void Inquiries::open(UniqueFd proc) {
  std::tie(questions_read_, questions_) = make_pipe();
  std::tie(answers_, answers_write_) = make_pipe();
  witness_ = std::make_unique<Witness>(std::move(proc));
}

void Inquiries::ask(std::unique_ptr<Inquiry> inquiry) {
  if (!started_) {
    // An arena of its own for the thread would cost more than all it ever allocates.
    ::mallopt(M_ARENA_MAX, 1);
    std::thread(&Inquiries::work, this, questions_read_.get(), answers_write_.get()).detach();
    started_ = true;
  }
  if (!send(questions_.get(), std::move(inquiry))) throw_errno("write", "to the witness");
}

std::unique_ptr<Inquiry> Inquiries::take() {
  return receive(answers_.get());
}

// Until the process ends.
void Inquiries::work(int questions, int answers) const {
  while (std::unique_ptr<Inquiry> inquiry = receive(questions)) {
    inquiry->evidence = witness_->look_at(inquiry->pid);
    if (!send(answers, std::move(inquiry))) return;
  }
}

}  // namespace sharkcage::sandbox
