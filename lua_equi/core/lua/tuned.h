/* tuned.h -- what an equituned model is, for the two files that make one up: equitune_make.c
 * (constructor, fields) and equitune.c (calls).
 *
 * The Lua values it needs are user values of the userdata, so that a model that refers to its own
 * equituned version is still collectable. */
#ifndef LUA_TUNED_H
#define LUA_TUNED_H
#include "group/equitune.h"
#include "symmetry.h"

#define EQ_EQUITUNE "equi.Equitune"

/* Lists of actions (false: not moved) are in INPUT, OUTPUT, START and TOKEN; nobody else holds
 * these lists, so what was checked stays true. */
enum {
  EQ_UV_MODEL = 1,
  EQ_UV_INPUT,
  EQ_UV_OUTPUT,
  EQ_UV_START,
  EQ_UV_TOKEN,
  EQ_UV_COMBINE,
  EQ_UV_PICK,
  EQ_UV_COUNT = EQ_UV_PICK
};
enum { EQ_TUNED_MAXIN = 16 };

typedef enum { EQ_MEAN, EQ_BEST, EQ_WEIGHTED, EQ_RELAXED } eq_combination;
typedef struct eq_tuned {
  int order, identity, chunk; /* chunk: elements per call of the model */
  int nout;                   /* results of the model that are combined */
  bool exact, softmax;        /* softmax: of weights, over the group */
  bool of_results;            /* weights of what the model returned, not of its inputs */
  double tolerance;           /* of combine.best */
  eq_combination combine;
} eq_tuned;

eq_tuned *eq_lua_checktuned(lua_State *L, int i);
/* Action number k of the list in user value `slot` of the model at place 1; NULL: not moved. */
eq_action *eq_lua_tuned_action(lua_State *L, int slot, int k);
int eq_lua_tuned_length(lua_State *L, int slot);

int eq_lua_tuned_call(lua_State *L);
int eq_lua_tuned_start(lua_State *L);
int eq_lua_tuned_step(lua_State *L);
#endif
