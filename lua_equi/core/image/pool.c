/* pool.c -- threads that read pictures into batches: files are decoded and prepared while others
 * compute.
 *
 * The main thread adds batches and takes them in the same order; workers take one picture at a
 * time, always the next of the oldest batch. What a picture becomes does not depend on who reads it
 * (recipe.c), so the batches are the same for any number of workers. Where several pictures of a
 * batch fail, the first in the batch is told, whichever was read first.
 *
 * Workers know no Lua, allocate with malloc only, and block every signal: Ctrl-C belongs to the
 * main thread, which looks for it while it waits. NOT for a forked child: it has no workers, and
 * its copy of the pool is left alone. */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "recipe.h"

enum { WAIT_NS = 20 * 1000 * 1000 }; /* between two looks for Ctrl-C */

struct eq_pool {
  eq_recipe recipe;
  eq_levels levels;
  int64_t out_h, out_w, npath;
  char **path;
  int nthread, most, count, head; /* batches wait in ring[head], ring[head + 1] ... */
  eq_batch **ring;
  pthread_t *thread;
  pthread_mutex_t lock; /* of the ring and of what the batches say */
  pthread_cond_t work, done;
  atomic_bool closing;
  pid_t owner;
};

/* ---- the workers ---- */

/* A worker's pixels, kept from one picture to the next. */
struct scratch {
  eq_pool *pool;
  uint8_t *pixels;
  size_t bytes;
};

static uint8_t *place(eq_picture *p) {
  struct scratch *s = p->owner;
  const size_t need = (size_t)(p->height * p->width) * (size_t)p->channels;
  if (need > s->bytes) {
    free(s->pixels);
    s->pixels = malloc(need);
    s->bytes = s->pixels ? need : 0;
  }
  return s->pixels;
}

static bool is_closing(eq_picture *p) {
  struct scratch *s = p->owner;
  return atomic_load_explicit(&s->pool->closing, memory_order_relaxed);
}

static eq_status read_one(struct scratch *s, const char *path, uint64_t epoch, int64_t item,
                          float *out, char *why, size_t room) {
  const eq_pool *pool = s->pool;
  eq_picture p = {.channels = 3, .max_pixels = pool->recipe.max_pixels, .owner = s};
  p.place = place;
  p.stop = is_closing;
  if (eq_picture_file(&p, path) != EQ_OK) {
    snprintf(why, room, "%s", p.why);
    return p.status;
  }
  const eq_pixels in = {s->pixels, p.height, p.width, 3, p.width * 3, 3, 1};
  return eq_recipe_run(&pool->recipe, &pool->levels, &in, epoch, (uint64_t)item, pool->out_h,
                       pool->out_w, out, why, room);
}

/* The oldest batch with a picture that nobody reads yet. Under the lock. */
static eq_batch *with_work(const eq_pool *pool) {
  for (int i = 0; i < pool->count; i++) {
    eq_batch *b = pool->ring[(pool->head + i) % pool->most];
    if (b->next < b->n) return b;
  }
  return NULL;
}

/* Under the lock. */
static void note(eq_pool *pool, eq_batch *b, int64_t at, eq_status status, const char *why) {
  if (status != EQ_OK && (b->bad < 0 || at < b->bad)) {
    b->bad = at;
    b->status = status;
    snprintf(b->why, sizeof b->why, "%.260s: %.240s", pool->path[b->item[at]],
             status == EQ_NOMEM ? "out of memory" : why);
  }
  if (++b->done == b->n) pthread_cond_signal(&pool->done);
}

static void *work(void *argument) {
  eq_pool *pool = argument;
  struct scratch s = {.pool = pool};
  const int64_t numbers = pool->out_h * pool->out_w * pool->recipe.channels;
  char why[256];
  pthread_mutex_lock(&pool->lock);
  while (!atomic_load(&pool->closing)) {
    eq_batch *b = with_work(pool);
    if (!b) {
      pthread_cond_wait(&pool->work, &pool->lock);
      continue;
    }
    const int64_t at = b->next++, item = b->item[at];
    pthread_mutex_unlock(&pool->lock);
    why[0] = 0;
    const eq_status status =
        read_one(&s, pool->path[item], b->epoch, item, b->out + at * numbers, why, sizeof why);
    pthread_mutex_lock(&pool->lock);
    note(pool, b, at, status, why);
  }
  pthread_mutex_unlock(&pool->lock);
  free(s.pixels);
  return NULL;
}

/* ---- the main thread ---- */

static void free_pool(eq_pool *pool) {
  for (int64_t i = 0; pool->path && i < pool->npath; i++) free(pool->path[i]);
  free(pool->path);
  free(pool->ring);
  free(pool->thread);
  pthread_cond_destroy(&pool->done);
  pthread_cond_destroy(&pool->work);
  pthread_mutex_destroy(&pool->lock);
  free(pool);
}

static bool copy_paths(eq_pool *pool, const char *const *path) {
  pool->path = calloc((size_t)pool->npath + 1, sizeof *pool->path);
  for (int64_t i = 0; pool->path && i < pool->npath; i++)
    if (!(pool->path[i] = strdup(path[i]))) return false;
  return pool->path;
}

/* Starts the workers with every signal blocked; returns how many run. */
static int start(eq_pool *pool, int workers) {
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  while (pool->nthread < workers && !pthread_create(&pool->thread[pool->nthread], NULL, work, pool))
    pool->nthread++;
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  return pool->nthread;
}

eq_pool *eq_pool_open(const eq_recipe *r, int64_t out_h, int64_t out_w, int64_t npath,
                      const char *const *path, int workers, int most) {
  eq_pool *pool = calloc(1, sizeof *pool);
  if (!pool) {
    eq_nomem(sizeof *pool);
    return NULL;
  }
  pool->recipe = *r;
  pool->out_h = out_h;
  pool->out_w = out_w;
  pool->npath = npath;
  pool->most = most;
  pool->owner = getpid();
  eq_recipe_levels(r, &pool->levels);
  pthread_mutex_init(&pool->lock, NULL);
  pthread_cond_init(&pool->work, NULL);
  pthread_cond_init(&pool->done, NULL);
  pool->ring = calloc((size_t)most, sizeof *pool->ring);
  pool->thread = calloc((size_t)workers, sizeof *pool->thread);
  if (!pool->ring || !pool->thread || !copy_paths(pool, path)) {
    free_pool(pool);
    eq_nomem((size_t)npath * 64);
    return NULL;
  }
  if (!start(pool, workers)) {
    free_pool(pool);
    eq_fail("the system starts no thread");
    return NULL;
  }
  return pool;
}

bool eq_pool_add(eq_pool *pool, eq_batch *b) {
  b->next = b->done = 0;
  b->bad = -1;
  b->status = EQ_OK;
  pthread_mutex_lock(&pool->lock);
  const bool fits = pool->count < pool->most;
  if (fits) {
    pool->ring[(pool->head + pool->count++) % pool->most] = b;
    pthread_cond_broadcast(&pool->work);
  }
  pthread_mutex_unlock(&pool->lock);
  return fits;
}

/* Waits a moment for a batch to be done. Under the lock. */
static void wait_a_moment(eq_pool *pool) {
  struct timespec t;
  clock_gettime(CLOCK_REALTIME, &t);
  t.tv_nsec += WAIT_NS;
  if (t.tv_nsec >= 1000000000) {
    t.tv_nsec -= 1000000000;
    t.tv_sec++;
  }
  pthread_cond_timedwait(&pool->done, &pool->lock, &t);
}

eq_batch *eq_pool_take(eq_pool *pool) {
  eq_batch *b = NULL;
  bool stop = false;
  pthread_mutex_lock(&pool->lock);
  while (pool->count && !b && !stop) {
    eq_batch *oldest = pool->ring[pool->head];
    if (oldest->done == oldest->n) {
      b = oldest;
      pool->head = (pool->head + 1) % pool->most;
      pool->count--;
    } else if (eq_poll && eq_poll()) {
      stop = true;
    } else {
      wait_a_moment(pool);
    }
  }
  pthread_mutex_unlock(&pool->lock);
  if (stop) eq_stopped();
  return b;
}

void eq_pool_close(eq_pool *pool) {
  if (!pool || pool->owner != getpid()) return;
  pthread_mutex_lock(&pool->lock);
  atomic_store(&pool->closing, true);
  pthread_cond_broadcast(&pool->work);
  pthread_mutex_unlock(&pool->lock);
  for (int i = 0; i < pool->nthread; i++) pthread_join(pool->thread[i], NULL);
  free_pool(pool);
}
