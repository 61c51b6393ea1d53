/* conv.c -- the ways to compute a convolution, and which one runs.
 *
 * The first row that calls itself GOOD for a geometry is taken; the last row takes everything. A
 * forced path runs wherever it can, and the choice goes on as ever where it cannot. When exact
 * sums are asked for, Winograd's row is passed over: it rounds other products than the formula's.
 */
#include "conv.h"

static const eq_conv_path *const paths[] = {&eq_conv_winograd, &eq_conv_depthwise, &eq_conv_direct,
                                            &eq_conv_lowered};
enum { PATHS = sizeof paths / sizeof *paths };

int eq_conv_forced = EQ_CONV_AUTO;
int64_t eq_conv_ran[PATHS][EQ_CONV_PASSES];

const eq_conv_path *eq_conv_path_at(int i) { return i >= 0 && i < PATHS ? paths[i] : NULL; }

static int choose(const eq_conv *g, eq_pass pass) {
  int i = eq_conv_forced;
  if (i >= 0 && paths[i]->run[pass] && paths[i]->can(g, pass) != EQ_CONV_CANNOT) return i;
  for (i = 0; i < PATHS - 1; i++)
    if (paths[i]->run[pass] &&
        !(eq_conv_forced == EQ_CONV_EXACT && paths[i] == &eq_conv_winograd) &&
        paths[i]->can(g, pass) == EQ_CONV_GOOD)
      break;
  return i;
}

int eq_conv_run(const eq_conv *g, eq_pass pass) {
  int i = choose(g, pass);
  eq_conv_ran[i][pass]++;
  return paths[i]->run[pass](g);
}
