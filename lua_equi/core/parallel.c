/* parallel.c -- parallel_for, its threads and their number; the only file that knows OpenMP.
 *
 * Work is cut into pieces whose borders do not depend on the number of threads, so results are the
 * same bit for bit. Only the calling thread looks for Ctrl-C (it is the one that may touch Lua).
 *
 * The caller offers its pieces, takes pieces itself and waits at the end only for pieces that a
 * worker has taken, never for a worker to wake: on a machine that is busy with other things work
 * takes as long as on one thread at worst. An OpenMP region cannot end before all its threads have
 * come (measured beside busy processes: small work became 10 to 100 times slower). OpenMP is used
 * only to tell the BLAS that runs on it to use one thread.
 *
 * One caller at a time has the workers; pieces that call again, and callers from other threads, run
 * alone. Workers sleep when there is nothing to do and live as long as the process, which is why
 * the module is never unloaded. A forked child has none and starts its own. */
#include "equi.h"
#include <stdatomic.h>
#ifdef _OPENMP
#include <omp.h>
#endif

static atomic_int nthreads;
bool (*eq_poll)(void);

static _Thread_local int self;    /* 0: not one of our workers */
static _Thread_local bool inside; /* in a job: in a piece or between two */

int eq_thread(void) { return self; }

void eq_set_threads(int n) {
  (void)eq_threads(); /* the first question is what OMP_NUM_THREADS says; eq_alone changes it */
  nthreads = n;
}

bool eq_alone(void) {
  if (inside) return false;
#ifdef _OPENMP
  (void)eq_threads();
  omp_set_num_threads(1);
#endif
  return true;
}

bool eq_has_openmp(void) {
#ifdef _OPENMP
  return true;
#else
  return false;
#endif
}

const char *eq_openmp_name(void) {
#ifdef _OPENMP
  return "OpenMP " EQ_STR(_OPENMP);
#else
  return "none";
#endif
}

static int run_serial(int64_t n, int64_t grain, eq_range_fn fn, void *ctx) {
  for (int64_t i = 0; i < n; i += grain) {
    if (i && !self && eq_poll && eq_poll()) return eq_stopped();
    fn(i, i + grain < n ? i + grain : n, ctx);
  }
  return EQ_OK;
}

#ifdef EQ_NO_THREADS /* for systems without POSIX threads */
int eq_max_threads(void) { return 1; }
int eq_threads(void) { return 1; }

int eq_parallel_for(int64_t n, int64_t grain, eq_range_fn fn, void *ctx) {
  return run_serial(n, grain, fn, ctx);
}
#else
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdalign.h>
#include <time.h>
#include <unistd.h>

int eq_max_threads(void) {
#ifdef _OPENMP
  return omp_get_num_procs();
#else
  const long n = sysconf(_SC_NPROCESSORS_ONLN);
  return n < 1 ? 1 : n > EQ_MOST_THREADS ? EQ_MOST_THREADS : (int)n;
#endif
}

int eq_threads(void) {
  int n = nthreads;
  if (n) return n;
#ifdef _OPENMP
  n = omp_get_max_threads(); /* honours OMP_NUM_THREADS */
#else
  n = eq_max_threads();
#endif
  if (n > EQ_MOST_THREADS) n = EQ_MOST_THREADS;
  return nthreads = n;
}

/* ---- a bell: one thread waits, another rings; a ring before the wait is kept ---- */
#if defined(__APPLE__) || defined(EQ_NO_SEMAPHORES) /* there, semaphores have names only */
typedef struct {
  pthread_mutex_t lock;
  pthread_cond_t rung;
  int rings;
} bell;

static void bell_init(bell *b) {
  pthread_mutex_init(&b->lock, NULL);
  pthread_cond_init(&b->rung, NULL);
  b->rings = 0;
}

static void bell_ring(bell *b) {
  pthread_mutex_lock(&b->lock);
  b->rings++;
  pthread_cond_signal(&b->rung);
  pthread_mutex_unlock(&b->lock);
}

static void bell_wait(bell *b) {
  pthread_mutex_lock(&b->lock);
  while (!b->rings) pthread_cond_wait(&b->rung, &b->lock);
  b->rings--;
  pthread_mutex_unlock(&b->lock);
}
#else
typedef sem_t bell;
static void bell_init(bell *b) { sem_init(b, 0, 0); }
static void bell_ring(bell *b) { sem_post(b); }
static void bell_wait(bell *b) {
  while (sem_wait(b) && errno == EINTR) continue;
}
#endif

/* A thread that may sleep: whoever takes `asleep` back from it rings, exactly once. */
typedef struct {
  alignas(64) atomic_bool asleep;
  bell bell;
} sleeper;

static void wake(sleeper *s) {
  if (atomic_load(&s->asleep) && atomic_exchange(&s->asleep, false)) bell_ring(&s->bell);
}

/* Sleeps until `ready`, or until woken for whatever reason. The order is that of wake's callers
 * turned round (they make ready, then look who sleeps), so one of the two sees the other. */
static void sleep_for(sleeper *s, bool (*ready)(int64_t), int64_t argument) {
  atomic_store(&s->asleep, true);
  if (!ready(argument) || !atomic_exchange(&s->asleep, false)) bell_wait(&s->bell);
}

static int64_t clock_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* Looks for about SPIN_NS whether `ready`. By the clock: a thread that lost its core meanwhile does
 * not go on looking when it has it back. */
static bool spin_for(bool (*ready)(int64_t), int64_t argument) {
  enum { SPIN_NS = 20000, LOOKS = 16 };
  const int64_t until = clock_ns() + SPIN_NS;
  do {
    for (int i = 0; i < LOOKS; i++) {
      if (ready(argument)) return true;
      EQ_PAUSE();
    }
  } while (clock_ns() < until);
  return false;
}

/* ---- the job ---- */
enum { TAKERS = 2 * EQ_MOST_THREADS };

/* `offer` is the number of pieces that nobody took yet, times TAKERS, plus how many threads may
 * take. It is one word, so that the piece which a thread takes belongs to the job described here
 * now, whatever that thread saw before: the rest is read after taking, and is not changed before
 * every piece taken is done. */
static struct {
  alignas(64) _Atomic uint64_t offer;
  alignas(64) _Atomic int64_t done; /* pieces done by workers */
  sleeper caller;
  alignas(64) eq_range_fn fn;
  void *ctx;
  int64_t n, grain, pieces;
} job;

static atomic_bool engaged; /* somebody has the workers */
static sleeper crew[EQ_MOST_THREADS];
static int started;  /* workers 1 .. started run */
static bool refused; /* the system starts no more */

static bool may_take(uint64_t offer, int64_t who) {
  return offer >= TAKERS && (uint64_t)who < offer % TAKERS;
}

static bool is_offered(int64_t who) { return may_take(atomic_load(&job.offer), who); }
static bool are_done(int64_t pieces) { return atomic_load(&job.done) == pieces; }

/* Takes a piece and runs it; false: there is none. */
static bool run_one(void) {
  uint64_t offer = atomic_load_explicit(&job.offer, memory_order_relaxed);
  do {
    if (!may_take(offer, self)) return false;
  } while (!atomic_compare_exchange_weak_explicit(&job.offer, &offer, offer - TAKERS,
                                                  memory_order_acquire, memory_order_relaxed));
  const int64_t begin = (job.pieces - (int64_t)(offer / TAKERS)) * job.grain;
  job.fn(begin, begin + job.grain < job.n ? begin + job.grain : job.n, job.ctx);
  return true;
}

static void *work(void *me) {
  sleeper *s = me;
  self = (int)(s - crew);
  inside = true;
#ifdef _OPENMP
  omp_set_num_threads(1); /* what the BLAS on OpenMP asks for, of each thread */
#endif
  for (;;) {
    int64_t mine = 0;
    while (run_one()) mine++; /* all of one job: it does not end before they are counted */
    if (mine) {
      atomic_fetch_add(&job.done, mine);
      wake(&job.caller);
    }
    if (!spin_for(is_offered, self)) sleep_for(s, is_offered, self);
  }
  return NULL;
}

static void after_fork(void) {
  started = 0;
  refused = false;
  job.offer = 0;
  job.caller.asleep = false;
  engaged = false;
}

/* Workers 1 .. wanted, as far as the system gives them; every signal is the other threads'. */
static void grow(int wanted) {
  if (started >= wanted || refused) return;
  static bool once;
  if (!once) pthread_atfork(NULL, NULL, after_fork);
  once = true;
  if (!started) bell_init(&job.caller.bell);
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  while (started < wanted && !refused) {
    sleeper *s = &crew[started + 1];
    pthread_t thread;
    s->asleep = false;
    bell_init(&s->bell);
    refused = pthread_create(&thread, NULL, work, s) != 0;
    if (refused) break;
    pthread_detach(thread);
    started++;
  }
  pthread_sigmask(SIG_SETMASK, &before, NULL);
}

static void wake_crew(int takers, int64_t pieces) {
  for (int i = 1; i < takers && i <= pieces; i++) wake(&crew[i]);
}

/* To wake a worker takes the caller 5 us, in virtual machines 25, and the worker as long to come.
 * So those that sleep are woken at once where a piece of the same function took long the last time,
 * and after the first piece where it turns out to. */
static int64_t *last_time(eq_range_fn fn) {
  static int64_t took[64]; /* ns a piece; a shared place costs a wrong guess only */
  return &took[((uintptr_t)fn >> 4) * 0x9e3779b1u >> 8 & 63];
}

static bool is_worth_waking(int64_t each, int64_t pieces) {
  enum { WORTH_NS = 60000 };
  return each > WORTH_NS / pieces;
}

/* The caller's part; the workers are its own. */
static int run_job(int threads) {
  grow(threads - 1);
  const int takers = threads <= started ? threads : started + 1;
  atomic_store_explicit(&job.done, 0, memory_order_relaxed);
  atomic_store(&job.offer, (uint64_t)job.pieces * TAKERS + (uint64_t)takers);
  int64_t *each = last_time(job.fn), mine = 0, left = 0;
  bool woken = *each == 0 || is_worth_waking(*each, job.pieces), stop = false;
  if (woken) wake_crew(takers, job.pieces - 1);
  const int64_t begun = clock_ns();
  while (!stop && run_one()) {
    if (mine++ == 0) *each = clock_ns() - begun + 1;
    if (!is_offered(0)) break;
    if (!woken && is_worth_waking(*each, job.pieces - 1)) {
      wake_crew(takers, job.pieces - 1);
      woken = true;
    }
    stop = eq_poll && eq_poll();
  }
  if (stop) left = (int64_t)(atomic_exchange(&job.offer, 0) / TAKERS);
  const int64_t theirs = job.pieces - mine - left;
  if (!spin_for(are_done, theirs))
    while (!are_done(theirs)) sleep_for(&job.caller, are_done, theirs);
  return stop ? eq_stopped() : EQ_OK;
}

int eq_parallel_for(int64_t n, int64_t grain, eq_range_fn fn, void *ctx) {
  if (n <= grain) { /* the common small case: no workers, no poll */
    if (n > 0) fn(0, n, ctx);
    return EQ_OK;
  }
  const int threads = inside ? 1 : eq_threads();
  if (threads == 1 || atomic_exchange(&engaged, true)) return run_serial(n, grain, fn, ctx);
  inside = true;
  job.fn = fn, job.ctx = ctx, job.n = n, job.grain = grain;
  job.pieces = (n + grain - 1) / grain;
  const int bad = run_job(threads);
  inside = false;
  atomic_store(&engaged, false);
  return bad;
}
#endif
