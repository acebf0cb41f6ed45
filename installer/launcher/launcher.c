/*
 * The launcher: the file that a container runtime executes as the CNI plugin. It hands the call to the agent, which
 * runs already, and its answer back; without an agent it becomes the full binary beside it by exec.
 *
 * The one rule: from the first byte of the request on the call is the agent's, and is never run a second time by the
 * full binary unless the agent declines it. What goes wrong from there on is the runtime's to try again (code 11).
 *
 * Each pod pays for its start several times, so it is static and without a C library: two pages of file, and some
 * thirty system calls.
 */
#include "linux.h"

#include <stdbool.h>

#define STANDALONE "minicni-standalone"
#define DEFAULT_SOCKET "/run/minicni/cni.sock"
#define SEE_LOG "the runtime tries again; see the agent's log: kubectl -n kube-system logs ds/minicni"

enum { VERSION = 1, GREETING_SECONDS = 2, STDOUT_SECONDS = 5, PATH_BYTES = 4096, TEXT_BYTES = 4 * PATH_BYTES };
enum { PIPE_BYTES = 4096, MAX_STDIN = 1 << 20, MAX_VARIABLES = 64 << 10, MAX_ANSWER = 16 << 20 };
enum { CODE_IO = 5, CODE_LATER = 11 }; /* SPEC §5 "Error" */

struct hello { char magic[4]; uint16_t version, status; };
struct request {
  char magic[4];
  uint16_t version, flags;
  uint8_t token[16];
  uint64_t net_dev, net_ino, mnt_dev, mnt_ino;
  uint32_t variables, input;
};
struct answer { char magic[4]; uint8_t kind, code; uint16_t zero; uint32_t length; };
enum { FLAG_DESCRIPTOR = 1, FLAG_UNOPENED = 2 };
_Static_assert(sizeof(struct hello) == 8 && sizeof(struct request) == 64 && sizeof(struct answer) == 12, "protocol");

/* What the kernel put onto our stack. */
struct process { char **words, **variables; const char *file, *command; bool is_for_people; };
struct text { char bytes[TEXT_BYTES]; size_t used; };

/*
 * Pages that are never touched cost nothing. On a page boundary, of 64 KiB as well: kernels before 6.7 do not start a
 * program whose one writable segment has no bytes in the file and begins within a page (padzero() of fs/binfmt_elf.c).
 */
static struct {
  uint8_t input[MAX_STDIN + 1], variables[MAX_VARIABLES], answer[sizeof(struct answer) + MAX_ANSWER];
} buffers __attribute__((aligned(1 << 16)));

static size_t length_of(const char *text) {
  size_t length = 0;
  while (text[length]) length++;
  return length;
}

static bool starts_with(const char *text, const char *start) {
  while (*start && *text == *start) text++, start++;
  return !*start;
}

static bool equals(const char *one, const char *other) {
  return starts_with(one, other) && length_of(one) == length_of(other);
}

/* What is behind the last slash. */
static const char *last_part(const char *path) {
  const char *part = path;
  for (; *path; path++) if (*path == '/') part = path + 1;
  return part;
}

/* Of a variable that is set and not empty; else NULL. `name` ends in "=". */
static const char *value_of(char **variables, const char *name) {
  for (; *variables; variables++) {
    if (starts_with(*variables, name)) return (*variables)[length_of(name)] ? *variables + length_of(name) : NULL;
  }
  return NULL;
}

/* Microseconds of a clock that nobody sets. */
static long now(void) {
  struct moment time = {0};
  CALL(clock_gettime, CLOCK_MONOTONIC, &time);
  return time.seconds * 1000000 + time.fraction / 1000;
}

/* Waits until a descriptor that does not block can be used; false when `seconds` are over. */
static bool await(int fd, int event, long seconds) {
  struct pollfd wanted = {.fd = fd, .events = event};
  struct moment time = {.seconds = seconds};
  long ready;
  do ready = CALL(ppoll, &wanted, 1, seconds ? &time : NULL, NULL, 0); while (ready == -EINTR);
  return ready > 0;
}

/* Writes all of it; returns 0 or the error. A pipe that polls as writable takes as much as PIPE_BYTES without blocking. */
static long write_all(int fd, const void *bytes, size_t size) {
  for (const uint8_t *at = bytes; size > 0;) {
    if (!await(fd, POLLOUT, STDOUT_SECONDS)) return -EAGAIN;
    const long written = CALL(write, fd, at, size < PIPE_BYTES ? size : PIPE_BYTES);
    if (written >= 0) at += written, size -= written;
    else if (written != -EINTR && written != -EAGAIN) return written;
  }
  return 0;
}

/* Adds words; what does not fit is cut off. Bytes that would end a line or a string of JSON are replaced. */
static void say(struct text *text, const char *words) {
  for (; *words && text->used < sizeof text->bytes; words++) {
    text->bytes[text->used++] = (uint8_t)*words < ' ' || *words == 127 ? '?' : *words;
  }
}

static void say_number(struct text *text, unsigned long number) {
  const char digit[] = {'0' + number % 10, '\0'};
  if (number > 9) say_number(text, number / 10);
  say(text, digit);
}

static void say_error(struct text *text, long error) {
  switch (-error) {
    case EPERM: return say(text, "operation not permitted");
    case ENOENT: return say(text, "no such file or directory");
    case EIO: return say(text, "input/output error");
    case E2BIG: return say(text, "argument list too long");
    case ENOEXEC: return say(text, "exec format error");
    case EAGAIN: return say(text, "resource temporarily unavailable");
    case ENOMEM: return say(text, "out of memory");
    case EACCES: return say(text, "permission denied");
    case ENOTDIR: return say(text, "not a directory");
    case ENFILE: case EMFILE: return say(text, "too many open files");
    case ETXTBSY: return say(text, "text file busy");
    case ENOSPC: return say(text, "no space left");
    case EPIPE: return say(text, "broken pipe");
    case ELOOP: return say(text, "it is the launcher again, or too many symbolic links");
    default: say(text, "error "); return say_number(text, -error);
  }
}

/* Adds what another text says; in a string of JSON two characters are escaped. */
static void say_text(struct text *text, const struct text *other, bool is_json) {
  for (size_t at = 0; at < other->used; at++) {
    const char byte[] = {other->bytes[at], '\0'};
    if (is_json && (*byte == '"' || *byte == '\\')) say(text, "\\");
    say(text, byte);
  }
}

_Noreturn static void end(int code) {
  for (;;) CALL(exit_group, code);
}

/* Where nobody reads what we write we end by ourselves, not by a signal. Nothing is executed any more from here on. */
static void ignore_sigpipe(void) {
  const struct action action = {.handler = SIG_IGN};
  CALL(rt_sigaction, SIGPIPE, &action, NULL, sizeof action.mask);
}

static void write_line(int fd, struct text *line) {
  if (line->used == sizeof line->bytes) line->used--;
  line->bytes[line->used++] = '\n';
  write_all(fd, line->bytes, line->used);
}

/* One line on stderr, for people and for the log of a runtime. */
static void tell(const struct text *message, const char *details) {
  struct text line;
  line.used = 0;
  say(&line, "minicni: ");
  say_text(&line, message, false);
  if (*details) say(&line, "; "), say(&line, details);
  write_line(2, &line);
}

/* The end without an answer: an error document on stdout, the same in one line on stderr; that alone for people. */
_Noreturn static void fail(const struct process *self, int code, const struct text *message, const char *details) {
  struct text document;
  ignore_sigpipe();
  if (!self->is_for_people) {
    document.used = 0;
    say(&document, "{\"cniVersion\":\"1.1.0\",\"code\":");
    say_number(&document, code);
    say(&document, ",\"msg\":\"");
    say_text(&document, message, true);
    say(&document, "\",\"details\":\"");
    say(&document, details);
    say(&document, "\"}");
    write_line(1, &document);
  }
  tell(message, details);
  end(self->is_for_people ? 127 : 1);
}

/* The path beside our own file, symbolic links followed; without /proc beside the path that we were called by. */
static void find_standalone(const struct process *self, char path[PATH_BYTES + sizeof STANDALONE]) {
  const long size = CALL(readlinkat, AT_FDCWD, "/proc/self/exe", path, PATH_BYTES);
  if (size > 0 && size < PATH_BYTES && *path == '/') {
    path[size] = '\0';
  } else {
    memcpy(path, self->file, length_of(self->file) + 1); /* below PATH_MAX, or we would not run */
  }
  memcpy(path + (last_part(path) - path), STANDALONE, sizeof STANDALONE);
}

/* Becomes the full binary, with stdin as it is now. */
_Noreturn static void run_standalone(const struct process *self) {
  char path[PATH_BYTES + sizeof STANDALONE];
  struct text message;
  message.used = 0;
  find_standalone(self, path);
  /* Called by that name it would be ourselves for ever, whether by copy or by link. */
  const bool is_own = equals(last_part(self->file), STANDALONE);
  const long error = is_own ? -ELOOP : CALL(execve, path, self->words, self->variables);
  say(&message, "can't run ");
  say(&message, path);
  say(&message, ": ");
  say_error(&message, error);
  fail(self, CODE_IO, &message, "run `minicni install` again");
}

static long read_stdin(void *into, size_t size) {
  long got;
  do got = CALL(read, 0, into, size); while (got == -EINTR || (got == -EAGAIN && await(0, POLLIN, 0)));
  return got;
}

/* Becomes the full binary, which reads on stdin what we have read of it, `used` bytes, and what is still to come. */
_Noreturn static void hand_on(const struct process *self, size_t used) {
  struct text message;
  long file = CALL(memfd_create, "minicni-stdin", MFD_CLOEXEC | MFD_NOEXEC_SEAL);
  if (file == -EINVAL) file = CALL(memfd_create, "minicni-stdin", MFD_CLOEXEC); /* older than Linux 6.3 */
  long got = used, error = file;
  while (error >= 0 && got > 0) {
    error = write_all(file, buffers.input, got);
    /* All of it is there already unless the buffer is full: no read that could wait. */
    got = used > MAX_STDIN && error == 0 ? read_stdin(buffers.input, sizeof buffers.input) : 0;
    if (got < 0) error = got;
  }
  if (error >= 0) error = CALL(lseek, file, 0, SEEK_SET);
  if (error >= 0) error = CALL(dup3, file, 0, 0);
  if (error >= 0) run_standalone(self);
  message.used = 0;
  say(&message, "can't hand stdin on to the full binary: ");
  say_error(&message, error);
  fail(self, CODE_IO, &message, "nothing was done: the runtime tries again; see the node's memory and open files");
}

/* False when it does not fit into an address. */
static bool set_address(struct sockaddr_un *address, const char *path, const char *ending) {
  const size_t length = length_of(path), more = length_of(ending) + 1;
  if (length + more > sizeof address->sun_path) return false;
  address->sun_family = AF_UNIX;
  memcpy(address->sun_path, path, length);
  memcpy(address->sun_path + length, ending, more);
  return true;
}

/* The longest that one call on the socket waits; no time at all would be for ever. */
static void set_timeout(int socket, int option, long microseconds) {
  const struct moment time = {microseconds / 1000000, microseconds % 1000000};
  CALL(setsockopt, socket, SOL_SOCKET, option, &time, sizeof time);
}

static int open_socket(int type) {
  const int socket = CALL(socket, AF_UNIX, type | SOCK_CLOEXEC, 0);
  if (socket >= 0) set_timeout(socket, SO_SNDTIMEO, GREETING_SECONDS * 1000000L);
  return socket;
}

/* Reads until there are `least` bytes, and takes what comes with them; false when the peer ends or the time does. */
static bool receive(int stream, void *into, size_t *used, size_t least, size_t size, long deadline) {
  while (*used < least) {
    const long left = deadline - now();
    if (left <= 0) return false;
    set_timeout(stream, SO_RCVTIMEO, left);
    const long got = CALL(read, stream, (uint8_t *)into + *used, size - *used);
    if (got > 0) *used += got;
    else if (got != -EINTR && got != -EAGAIN) return false;
  }
  return true;
}

/* Sends all pieces while there is time; returns how many bytes went. */
static size_t send_all(int stream, struct iovec *pieces, size_t count, long deadline) {
  struct msghdr message = {.msg_iov = pieces, .msg_iovlen = count};
  size_t sent = 0;
  while (message.msg_iovlen > 0) {
    struct iovec *piece = message.msg_iov;
    if (piece->iov_len == 0) {
      message.msg_iov++, message.msg_iovlen--;
      continue;
    }
    long step = CALL(sendmsg, stream, &message, MSG_NOSIGNAL);
    if (step == -EINTR || (step == -EAGAIN && sent > 0 && now() < deadline)) continue;
    if (step < 0) break;
    sent += step;
    for (; step > 0; piece++) {
      const size_t part = (size_t)step < piece->iov_len ? (size_t)step : piece->iov_len;
      piece->iov_base = (const uint8_t *)piece->iov_base + part;
      piece->iov_len -= part;
      step -= part;
    }
  }
  return sent;
}

static bool is_ours(const char magic[4]) {
  return magic[0] == 'M' && magic[1] == 'C' && magic[2] == 'N' && magic[3] == 'I';
}

/* A stream on which an agent of our version has said that it takes calls; negative without one. */
static int greet(const struct sockaddr_un *address) {
  struct hello hello;
  size_t used = 0;
  long connected;
  const long deadline = now() + GREETING_SECONDS * 1000000L;
  const int stream = open_socket(SOCK_STREAM);
  /* The lowest free number is taken: stdin, stdout or stderr is closed, and the stream must not become one of them. */
  if (stream < 3) return -1;
  do connected = CALL(connect, stream, address, sizeof *address); while (connected == -EINTR);
  if (connected < 0 || !receive(stream, &hello, &used, sizeof hello, sizeof hello, deadline)) return -1;
  return is_ours(hello.magic) && hello.version == VERSION && hello.status == 0 ? stream : -1;
}

/* The variables that the agent gets, each with its zero byte; -1 when they are too many for it. */
static long collect_variables(char **variables) {
  size_t used = 0;
  for (; *variables; variables++) {
    if (!starts_with(*variables, "CNI_")) continue;
    const size_t size = length_of(*variables) + 1;
    if (size > sizeof buffers.variables - used) return -1;
    memcpy(buffers.variables + used, *variables, size);
    used += size;
  }
  return used;
}

/* Who we are: the agent answers only callers in its own namespaces. */
static bool fill_request(struct request *request) {
  struct stat net, mnt;
  if (CALL(newfstatat, AT_FDCWD, "/proc/self/ns/net", &net, 0) < 0) return false;
  if (CALL(newfstatat, AT_FDCWD, "/proc/self/ns/mnt", &mnt, 0) < 0) return false;
  request->net_dev = net.st_dev, request->net_ino = net.st_ino;
  request->mnt_dev = mnt.st_dev, request->mnt_ino = mnt.st_ino;
  return CALL(getrandom, request->token, sizeof request->token, GRND_NONBLOCK) == sizeof request->token;
}

/* The namespace as we see it goes beside the stream; false when the agent can't have it. A FIFO must not hold us. */
static bool send_netns(const struct sockaddr_un *address, const char *netns, struct request *request) {
  struct rights rights = {.cmsg_len = offsetof(struct rights, padding), .cmsg_level = SOL_SOCKET};
  rights.cmsg_type = SCM_RIGHTS;
  struct iovec token = {request->token, sizeof request->token};
  struct msghdr message = {.msg_name = address, .msg_namelen = sizeof *address, .msg_iov = &token, .msg_iovlen = 1};
  const int fd = netns ? CALL(openat, AT_FDCWD, netns, O_RDONLY | O_CLOEXEC | O_NONBLOCK) : -1;
  request->flags = fd >= 0 ? FLAG_DESCRIPTOR : netns ? FLAG_UNOPENED : 0;
  if (fd >= 0) rights.fd = fd, message.msg_control = &rights, message.msg_controllen = sizeof rights;
  const int socket = open_socket(SOCK_DGRAM);
  long sent;
  do sent = CALL(sendmsg, socket, &message, MSG_NOSIGNAL); while (sent == -EINTR);
  CALL(close, socket);
  if (fd >= 0) CALL(close, fd);
  return sent == sizeof request->token;
}

/* In all, from the request on; the agent gives up before us, each time. */
static long patience(const char *command) {
#ifdef ANSWER_SECONDS
  (void)command;
  return ANSWER_SECONDS;
#else
  if (equals(command, "ADD")) return 100;
  if (equals(command, "GC")) return 28;
  if (equals(command, "STATUS")) return 12;
  return 55;
#endif
}

/* Passes the answer on, and tells the agent so; an ADD that it does not hear of it takes back. */
_Noreturn static void deliver(const struct process *self, int stream, const struct answer *answer) {
  struct text message;
  struct iovec done = {"K", 1};
  message.used = 0;
  ignore_sigpipe();
  const long error = write_all(1, answer + 1, answer->length);
  if (error < 0) {
    say(&message, "the answer could not be written: ");
    say_error(&message, error);
    tell(&message, "");
    end(1);
  }
  if (send_all(stream, &done, 1, 0) == 1 || answer->code != 0 || !equals(self->command, "ADD")) end(answer->code);
  say(&message, "the agent ended before it heard that its answer arrived");
  tell(&message, SEE_LOG);
  end(1);
}

/* The request is with the agent: waits for what comes of it. */
_Noreturn static void await_answer(const struct process *self, int stream, size_t input, long deadline) {
  const struct answer *answer = (const struct answer *)buffers.answer;
  const size_t head = sizeof *answer;
  struct text message;
  size_t used = 0;
  message.used = 0;
  bool is_whole = receive(stream, buffers.answer, &used, head, sizeof buffers.answer, deadline);
  bool is_good = !is_whole || (is_ours(answer->magic) && answer->zero == 0 && answer->length <= MAX_ANSWER);
  if (is_whole && is_good && answer->kind == 'D') hand_on(self, input);
  if (is_whole && is_good && answer->kind == 'R') {
    is_whole = receive(stream, buffers.answer, &used, head + answer->length, head + answer->length, deadline);
    if (is_whole && used == head + answer->length) deliver(self, stream, answer);
  }
  if (is_whole) {
    say(&message, "the agent's answer is none of this version");
  } else if (now() < deadline) {
    say(&message, "the agent ended in the middle of this call");
  } else {
    say(&message, "the agent did not answer in ");
    say_number(&message, patience(self->command));
    say(&message, " s");
  }
  fail(self, CODE_LATER, &message, SEE_LOG);
}

/* As the full binary, which waits for the end of what it reads no longer than for anything else. */
_Noreturn static void refuse_open_stdin(const struct process *self) {
  struct text message;
  message.used = 0;
  say(&message, "stdin did not end in ");
  say_number(&message, patience(self->command));
  say(&message, " s");
  fail(self, CODE_LATER, &message, "nothing was done: close stdin behind the network configuration");
}

/* The call by way of the agent. Until the request is sent, whatever is wrong is the full binary's to tell. */
_Noreturn static void call_agent(const struct process *self) {
  struct request request = {.magic = {'M', 'C', 'N', 'I'}, .version = VERSION};
  struct sockaddr_un address = {0}, beside = {0};
  const char *path = value_of(self->variables, "MINICNI_SOCKET=");
  if (!path) path = DEFAULT_SOCKET;
  if (!set_address(&address, path, "") || !set_address(&beside, path, ".fd")) run_standalone(self);
  const long variables = collect_variables(self->variables);
  const int stream = variables < 0 ? -1 : greet(&address);
  if (stream < 0 || !fill_request(&request)) run_standalone(self);

  size_t input = 0;
  const long end_of_input = now() + patience(self->command) * 1000000L;
  for (long got = 1; got > 0 && input <= MAX_STDIN; input += got) {
    const long left = (end_of_input - now() + 999999) / 1000000;
    if (left <= 0 || !await(0, POLLIN, left)) refuse_open_stdin(self);
    got = read_stdin(buffers.input + input, sizeof buffers.input - input);
    if (got < 0) run_standalone(self);
  }
  const char *netns = value_of(self->variables, "CNI_NETNS=");
  if (input > MAX_STDIN || !send_netns(&beside, netns, &request)) hand_on(self, input);
  request.variables = variables;
  request.input = input;
  struct iovec pieces[] = {{&request, sizeof request}, {buffers.variables, variables}, {buffers.input, input}};
  const long deadline = now() + patience(self->command) * 1000000L;
  if (send_all(stream, pieces, 3, deadline) == 0) hand_on(self, input);
  /* Also where only a part went: an agent that has closed may have declined before. */
  await_answer(self, stream, input, deadline);
}

/* `stack`: the count of the arguments, these, the variables, and the auxiliary vector, a zero behind each. */
_Noreturn __attribute__((used)) static void launch(long *stack) {
  struct process self = {.words = (char **)(stack + 1), .variables = (char **)(stack + 1) + *stack + 1, .file = ""};
  char **variable = self.variables;
  while (*variable) variable++;
  for (long *pair = (long *)(variable + 1); *pair != AT_NULL; pair += 2) {
    if (*pair == AT_EXECFN) self.file = (const char *)pair[1];
  }
  self.command = value_of(self.variables, "CNI_COMMAND=");
  self.is_for_people = *stack > 1 || !self.command;
  /* Who asks for the version may leave stdin open; lo is set without an agent, and before there is one. */
  const bool is_loopback = *stack > 0 && equals(last_part(self.words[0]), "loopback");
  if (self.is_for_people || is_loopback || equals(self.command, "VERSION")) run_standalone(&self);
  call_agent(&self);
}
