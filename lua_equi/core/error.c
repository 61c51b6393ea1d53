/* error.c -- the one place where a failure's sentence is kept until the binding raises it. */
#include "equi.h"
#include <stdarg.h>
#include <stdio.h>

eq_error_info eq_error;

int eq_fail(const char *fmt, ...) {
  va_list a;
  va_start(a, fmt);
  vsnprintf(eq_error.text, sizeof eq_error.text, fmt, a);
  va_end(a);
  return eq_error.status = EQ_ERR;
}

int eq_nomem(size_t bytes) {
  eq_error.wanted = bytes;
  snprintf(
      eq_error.text, sizeof eq_error.text,
      "out of memory: %.1f MB wanted, %.1f MB in use by tensors; use smaller batches or chunks",
      (double)bytes / 1e6, (double)eq_mem.live / 1e6);
  return eq_error.status = EQ_NOMEM;
}

int eq_stopped(void) {
  snprintf(eq_error.text, sizeof eq_error.text, "interrupted");
  return eq_error.status = EQ_STOP;
}
