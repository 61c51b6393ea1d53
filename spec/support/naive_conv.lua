-- Convolutions of nested tables, as the sums that define them.
-- A geometry: sh, sw, top, left, bottom, right, dh, dw, groups; what is absent is 1, or 0 for a
-- padding.
local naive = {}

local function zeros(n, ...)
  local t = {}
  for i = 1, n do t[i] = select("#", ...) > 0 and zeros(...) or 0 end
  return t
end
naive.zeros = zeros

-- f(i, u) for every row (column) i of the result and u of the kernel, with the row of x they meet.
local function meet(n, size, k, stride, pad, dilation, f)
  for i = 1, n do
    for u = 1, k do
      local at = (i - 1) * stride - pad + (u - 1) * dilation + 1
      if at >= 1 and at <= size then f(i, u, at) end
    end
  end
end

local function result_size(n, k, stride, before, after, dilation)
  return (n + before + after - dilation * (k - 1) - 1) // stride + 1
end

-- Calls f(b, o, i, j, c, u, v, xc, y, x): every product of the sum, with xc, y, x the place in x.
local function walk(sizes, g, f)
  local per_in, per_out = sizes.ci // sizes.groups, sizes.co // sizes.groups
  for b = 1, sizes.b do
    for o = 1, sizes.co do
      local first = (o - 1) // per_out * per_in
      for c = 1, per_in do
        meet(sizes.oh, sizes.h, sizes.kh, g.sh or 1, g.top or 0, g.dh or 1, function(i, u, y)
          meet(sizes.ow, sizes.w, sizes.kw, g.sw or 1, g.left or 0, g.dw or 1, function(j, v, x)
            f(b, o, i, j, c, u, v, first + c, y, x)
          end)
        end)
      end
    end
  end
end

local function sizes_of(x, w, g)
  local s = {b = #x, ci = #x[1], h = #x[1][1], w = #x[1][1][1], co = #w, kh = #w[1][1],
             kw = #w[1][1][1], groups = g.groups or 1}
  s.oh = result_size(s.h, s.kh, g.sh or 1, g.top or 0, g.bottom or g.top or 0, g.dh or 1)
  s.ow = result_size(s.w, s.kw, g.sw or 1, g.left or 0, g.right or g.left or 0, g.dw or 1)
  return s
end

function naive.conv2d(x, w, b, g)
  local s = sizes_of(x, w, g)
  local y = zeros(s.b, s.co, s.oh, s.ow)
  walk(s, g, function(n, o, i, j, c, u, v, xc, row, col)
    y[n][o][i][j] = y[n][o][i][j] + w[o][c][u][v] * x[n][xc][row][col]
  end)
  for n = 1, b and s.b or 0 do
    for o = 1, s.co do
      for i = 1, s.oh do
        for j = 1, s.ow do y[n][o][i][j] = y[n][o][i][j] + b[o] end
      end
    end
  end
  return y
end

-- gx, gw, gb of the sum of y times gy.
function naive.conv2d_grad(x, w, gy, g)
  local s = sizes_of(x, w, g)
  local gx, gw, gb = zeros(s.b, s.ci, s.h, s.w), zeros(s.co, s.ci // s.groups, s.kh, s.kw),
    zeros(s.co)
  walk(s, g, function(n, o, i, j, c, u, v, xc, row, col)
    gx[n][xc][row][col] = gx[n][xc][row][col] + w[o][c][u][v] * gy[n][o][i][j]
    gw[o][c][u][v] = gw[o][c][u][v] + x[n][xc][row][col] * gy[n][o][i][j]
  end)
  for n = 1, s.b do
    for o = 1, s.co do
      for i = 1, s.oh do
        for j = 1, s.ow do gb[o] = gb[o] + gy[n][o][i][j] end
      end
    end
  end
  return gx, gw, gb
end

-- Each pixel of x adds w times itself: g as of conv2d, with extra rows (eh) and columns (ew).
function naive.conv_transpose2d(x, w, b, g)
  local groups, per_out = g.groups or 1, #w[1]
  local function size(n, k, stride, pad, dilation, extra)
    return (n - 1) * stride - 2 * pad + dilation * (k - 1) + extra + 1
  end
  local s = {b = #x, co = #x[1], oh = #x[1][1], ow = #x[1][1][1], ci = per_out * groups,
             kh = #w[1][1], kw = #w[1][1][1], groups = groups}
  s.h = size(s.oh, s.kh, g.sh or 1, g.top or 0, g.dh or 1, g.eh or 0)
  s.w = size(s.ow, s.kw, g.sw or 1, g.left or 0, g.dw or 1, g.ew or 0)
  local y = zeros(s.b, s.ci, s.h, s.w)
  walk(s, g, function(n, o, i, j, c, u, v, xc, row, col)
    y[n][xc][row][col] = y[n][xc][row][col] + w[o][c][u][v] * x[n][o][i][j]
  end)
  for n = 1, b and s.b or 0 do
    for o = 1, s.ci do
      for i = 1, s.h do
        for j = 1, s.w do y[n][o][i][j] = y[n][o][i][j] + b[o] end
      end
    end
  end
  return y
end

return naive
