/*
 * Linux without a C library, as much of it as the launcher needs: where a program starts, the system calls, constants
 * and structures by their own names. But for the numbers of the calls they are the same on x86-64 and on aarch64. The
 * headers of Linux are not taken: a bare cross compiler has none.
 */
#include <stddef.h>
#include <stdint.h>

#ifdef __x86_64__ /* asm/unistd_64.h */
enum {
  CALL_read = 0, CALL_write = 1, CALL_close = 3, CALL_lseek = 8, CALL_rt_sigaction = 13, CALL_socket = 41,
  CALL_connect = 42, CALL_sendmsg = 46, CALL_setsockopt = 54, CALL_execve = 59, CALL_clock_gettime = 228,
  CALL_exit_group = 231, CALL_openat = 257, CALL_newfstatat = 262, CALL_readlinkat = 267, CALL_ppoll = 271,
  CALL_dup3 = 292, CALL_getrandom = 318, CALL_memfd_create = 319
};
__asm__(".globl _start\n_start: xor %ebp, %ebp\nmov %rsp, %rdi\nand $-16, %rsp\ncall launch\n");
static long system_call(long number, long a, long b, long c, long d, long e) {
  register long fourth __asm__("r10") = d, fifth __asm__("r8") = e;
  __asm__ volatile("syscall" : "+a"(number) : "D"(a), "S"(b), "d"(c), "r"(fourth), "r"(fifth) : "rcx", "r11", "memory");
  return number;
}
#elif defined __aarch64__ /* asm-generic/unistd.h */
enum {
  CALL_dup3 = 24, CALL_openat = 56, CALL_close = 57, CALL_lseek = 62, CALL_read = 63, CALL_write = 64, CALL_ppoll = 73,
  CALL_readlinkat = 78, CALL_newfstatat = 79, CALL_exit_group = 94, CALL_clock_gettime = 113, CALL_rt_sigaction = 134,
  CALL_socket = 198, CALL_connect = 203, CALL_setsockopt = 208, CALL_sendmsg = 211, CALL_execve = 221,
  CALL_getrandom = 278, CALL_memfd_create = 279
};
__asm__(".globl _start\n_start: mov x29, #0\nmov x30, #0\nmov x0, sp\nand sp, x0, #-16\nbl launch\n");
static long system_call(long number, long a, long b, long c, long d, long e) {
  register long name __asm__("x8") = number, first __asm__("x0") = a, second __asm__("x1") = b;
  register long third __asm__("x2") = c, fourth __asm__("x3") = d, fifth __asm__("x4") = e;
  __asm__ volatile("svc #0" : "+r"(first) : "r"(name), "r"(second), "r"(third), "r"(fourth), "r"(fifth) : "memory");
  return first;
}
#else
#error "for x86-64 and aarch64 only"
#endif
/* A system call by its name, and its arguments, at most five; returns what the kernel says, errors negative. */
#define CALL(name, ...) CALL_OF(CALL_##name, __VA_ARGS__, 0, 0, 0, 0)
#define CALL_OF(number, a, b, c, d, e, ...) system_call(number, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e))

enum { /* asm-generic/errno-base.h, errno.h */
  EPERM = 1, ENOENT = 2, EINTR = 4, EIO = 5, E2BIG = 7, ENOEXEC = 8, EAGAIN = 11, ENOMEM = 12, EACCES = 13,
  ENOTDIR = 20, EINVAL = 22, ENFILE = 23, EMFILE = 24, ETXTBSY = 26, ENOSPC = 28, EPIPE = 32, ELOOP = 40
};
/* linux/auxvec.h, fcntl.h, asm-generic/fcntl.h, linux/net.h, socket.h, signal.h, time.h, random.h, poll.h, memfd.h */
enum { AT_NULL = 0, AT_EXECFN = 31, AT_FDCWD = -100, O_RDONLY = 0, O_NONBLOCK = 04000, O_CLOEXEC = 02000000 };
enum { AF_UNIX = 1, SOCK_STREAM = 1, SOCK_DGRAM = 2, SOCK_CLOEXEC = O_CLOEXEC, MSG_NOSIGNAL = 0x4000 };
enum { SOL_SOCKET = 1, SO_RCVTIMEO = 20, SO_SNDTIMEO = 21, SCM_RIGHTS = 1 };
enum { SIGPIPE = 13, CLOCK_MONOTONIC = 1, GRND_NONBLOCK = 1, POLLIN = 1, POLLOUT = 4, SEEK_SET = 0 };
enum { MFD_CLOEXEC = 1, MFD_NOEXEC_SEAL = 8 };

struct sockaddr_un { uint16_t sun_family; char sun_path[108]; };
struct iovec { const void *iov_base; size_t iov_len; };
struct msghdr {
  const void *msg_name;
  int msg_namelen;
  struct iovec *msg_iov;
  size_t msg_iovlen;
  void *msg_control;
  size_t msg_controllen;
  int msg_flags;
};
struct rights { size_t cmsg_len; int cmsg_level, cmsg_type, fd, padding; }; /* struct cmsghdr and one descriptor */
struct pollfd { int fd; short events, revents; };
struct moment { long seconds, fraction; };             /* struct timeval, struct timespec */
struct stat { uint64_t st_dev, st_ino, rest[16]; };    /* the longer one, of x86-64 */
struct action { unsigned long handler, flags, restorer, mask; }; /* struct sigaction of the kernel */
enum { SIG_IGN = 1 };

/* The compiler calls these two on its own. */
void *memcpy(void *restrict to, const void *restrict from, size_t size) {
  for (size_t at = 0; at < size; at++) ((uint8_t *)to)[at] = ((const uint8_t *)from)[at];
  return to;
}

void *memset(void *to, int byte, size_t size) {
  for (size_t at = 0; at < size; at++) ((uint8_t *)to)[at] = byte;
  return to;
}
