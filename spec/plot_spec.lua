-- Plots: facts about pixels and ticks, and the messages for mistakes. Needs no compiled core.
local plot = require "lua_equi.plot"
local axis = require "lua_equi.plot.axis"
local font = require "lua_equi.plot.font"

local function picture(p)
  local bytes, h, w = p:render()
  assert(#bytes == h * w * 3)
  return {h = h, w = w, at = function(x, y)
    return {bytes:byte((y * w + x) * 3 + 1, (y * w + x) * 3 + 3)}
  end}
end

local function count(image, color, x0, y0, x1, y1)
  local n = 0
  for y = y0 or 0, (y1 or image.h) - 1 do
    for x = x0 or 0, (x1 or image.w) - 1 do
      local p = image.at(x, y)
      if p[1] == color[1] and p[2] == color[2] and p[3] == color[3] then n = n + 1 end
    end
  end
  return n
end

local RED = {255, 0, 0}

describe("plot", function()
  it("draws a line through its points and nowhere else", function()
    local image = picture(plot.new {width = 400, height = 300, ylim = {0, 2}}
      :line({0, 10}, {1, 1}, {color = "#ff0000", width = 3}))
    local rows = {}
    for y = 0, 299 do
      if count(image, RED, 0, y, 400, y + 1) > 250 then rows[#rows + 1] = y end
    end
    assert.is_true(#rows >= 2 and #rows <= 3)
    local middle = (16 + (300 - 30)) / 2 -- axes without title and labels: 16 above, 30 below
    assert.is_true(math.abs(rows[1] + #rows / 2 - middle) <= 1)
    assert.equal(count(image, RED), count(image, RED, 0, rows[1], 400, rows[#rows] + 1))
  end)

  it("leaves a gap for NaN and infinity", function()
    local whole = plot.new {ylim = {0, 2}}:line({1, 2, 3, 4}, {1, 1, 1, 1}, {color = RED})
    local gap = plot.new {ylim = {0, 2}}:line({1, 2, 3, 4}, {1, 0 / 0, 1, 1}, {color = RED})
    local more, less = count(picture(whole), RED), count(picture(gap), RED)
    assert.is_true(less > 0 and less < 0.45 * more)
  end)

  it("draws bars as high as their values", function()
    local image = picture(plot.new {ylim = {0, 1}, width = 400, height = 300}
      :bars({"a", "b"}, {0.5, 1}, {color = RED}))
    local left, right = count(image, RED, 0, 0, 213, 300), count(image, RED, 213, 0, 400, 300)
    assert.is_true(math.abs(left / right - 0.5) < 0.02)
  end)

  it("stacks bars", function()
    local p = plot.new {ylim = {0, 1}}:bars({"a"}, {0.25}, {color = RED})
      :bars({"a"}, {0.75}, {color = {0, 0, 255}, stack = true})
    local image = picture(p)
    assert.is_true(math.abs(count(image, {0, 0, 255}) / count(image, RED) - 3) < 0.05)
  end)

  it("makes stacked and grouped bars in one call, the values in them where they fit", function()
    local parts = {{"a", {0.25, 0.5}, color = RED}, {"b", {0.75, 0.5}, color = {0, 0, 255}}}
    local function made(options)
      options.ylim, options.legend = {0, 1}, false
      return picture(plot.bars({"x", "y"}, parts, options))
    end
    local stacked, written = made {stack = true}, made {stack = true, values = "%.2f"}
    assert.is_true(math.abs(count(stacked, {0, 0, 255}) / count(stacked, RED) - 5 / 3) < 0.02)
    assert.is_true(count(written, RED) < count(stacked, RED))
    local grouped = made {}
    assert.is_true(count(grouped, RED) < 0.7 * count(stacked, RED))
    parts[1][2][1], parts[2][2][1] = 0.001, 0.999 -- no number fits into so low a bar
    local bare, some = made {stack = true}, made {stack = true, values = "%.2f"}
    local blue = count(bare, {0, 0, 255}, 0, 480, 450, 540)
    assert.is_true(blue > 1000)
    assert.equal(blue, count(some, {0, 0, 255}, 0, 480, 450, 540))
  end)

  it("keeps every text inside the picture", function()
    local p = plot.new {title = "A long title: " .. ("word "):rep(30), xlabel = "x", ylabel = "gyp"}
    p:bars({"a very long category", "another very long category", "c", "d", "e", "f", "g", "h"},
      {1e6, 2e6, 3, 4, 5, 6, 7, 8}, {label = "a label"})
    local image = picture(p)
    local white = {255, 255, 255}
    assert.equal(image.w * 2, count(image, white, 0, 0, image.w, 2))
    assert.equal(image.w * 2, count(image, white, 0, image.h - 2, image.w, image.h))
    assert.equal(image.h * 2, count(image, white, 0, 0, 2, image.h))
    assert.equal(image.h * 2, count(image, white, image.w - 2, 0, image.w, image.h))
  end)

  it("puts the legend where no data is", function()
    local xs, ys = {}, {}
    for k = 1, 100 do xs[k], ys[k] = k, k end
    local plain = picture(plot.new():line(xs, ys, {color = RED}))
    local labelled = picture(plot.new():line(xs, ys, {color = RED, label = "rising"}))
    for y = 0, plain.h - 1 do
      for x = 0, plain.w - 1 do
        if plain.at(x, y)[2] == 0 then assert.equal(0, labelled.at(x, y)[2]) end
      end
    end
    assert.is_true(count(labelled, RED) > count(plain, RED)) -- the key of the legend
  end)

  it("colours cells by value", function()
    local image = picture(plot.new():heatmap({{1, 0}, {0, 1}}, {values = false}))
    assert.is_true(count(image, {8, 48, 107}) > 0.3 * image.w * image.h)
    assert.is_true(count(image, {247, 251, 255}) > 0.3 * image.w * image.h)
  end)

  it("draws a grid with an empty cell, and the same bytes every time", function()
    local function make()
      local a = plot.new {title = "a"}:line({1, 2}, {1, 10}, {label = "x"})
      local b = plot.new {yscale = "log"}:points({1, 2}, {1e-3, 10}, {errors = {1, 1}})
      local c = plot.new():band({1, 2, 3}, {0, 1, 0}, {2, 3, 2})
      return plot.grid({{a, b}, {c, false}}, {title = "all", width = 600, height = 400})
    end
    assert.equal(make():render(), make():render())
  end)

  it("has tick marks at 1, 2 and 5", function()
    local function texts(lo, hi, n)
      local out = {}
      for k, tick in ipairs(axis.ticks({lo = lo, hi = hi}, n)) do out[k] = tick.text end
      return table.concat(out, " ")
    end
    assert.equal("0 20 40 60 80 100", texts(0, 100, 6))
    assert.equal("0.00 0.05 0.10", texts(0, 0.1, 3))
    assert.equal("0 100,000 200,000", texts(0, 200000, 2))
    assert.equal("-1.0 -0.5 0.0 0.5 1.0", texts(-1, 1, 5))
  end)

  it("has a drawing for all of ASCII", function()
    for code = 32, 126 do assert.is_true(font.has(string.char(code)), string.char(code)) end
    assert.is_true(font.width("\255\254", 1) > 0) -- bytes that are no UTF-8
  end)

  it("shows a point without a neighbour as a disc", function()
    local p = plot.new {width = 400, height = 300, ylim = {0, 2}}
    local lonely = picture(p:line({1, 2, 3}, {1, 0 / 0, 1}, {color = "#ff0000"}))
    assert.is_true(count(lonely, RED) > 40)
    local dashed = plot.new {width = 400, height = 300}
      :line({5}, {5}, {color = "#ff0000", dash = true})
    assert.is_true(count(picture(dashed), RED) > 20)
  end)

  it("shows the whole width of what lies at a limit", function()
    local function thickness(y, width)
      local p = plot.new {width = 400, height = 300, ylim = {0, 100}, xlim = {0, 4}}
      local image = picture(p:line({1, 3}, {y, y}, {color = "#ff0000", width = width}))
      return count(image, RED, 200, 0, 201, 300)
    end
    assert.equal(thickness(50, 4), thickness(100, 4))
  end)

  it("survives constant, huge and single values", function()
    for _, v in ipairs {0, 1, -3, 1e300, 1e-300} do
      plot.new {width = 200, height = 150}:line({v}, {v}):points({v}, {v}):render()
    end
    plot.new {xlim = {0, 1}, ylim = {0, 1}}:line({-1e15, 1e15}, {-1e15, 1e15}):render()
  end)

  it("says what is wrong at the caller's line", function()
    local p = plot.new()
    local function message(f, ...) return select(2, pcall(f, ...)) end
    local function mistake(text, f)
      local m = message(f)
      assert.matches(text, m, 1, true)
      assert.matches("plot_spec.lua:%d+: ", m)
    end
    mistake("plot.line: xs is empty", function() p:line({}, {}) return 1 end)
    mistake("plot.line: ys has 1 values for 2", function() p:line({1, 2}, {1}) return 1 end)
    mistake("plot.line: ys[2] is a string", function() p:line({1, 2}, {1, "x"}) return 1 end)
    mistake("all 1 points are NaN", function() p:line({1}, {0 / 0}) return 1 end)
    mistake('no option "colour"; options are color', function()
      p:line({1}, {1}, {colour = "red"})
      return 1
    end)
    mistake('no color "pinkish"', function() p:line({1}, {1}, {color = "pinkish"}) return 1 end)
    mistake("plot.new: width is 5", function() plot.new({width = 5}) return 1 end)
    mistake("ylim is {2, 1}", function() plot.new({ylim = {2, 1}}) return 1 end)
    mistake("the plot is empty", function() p:save("x.png") return 1 end)
    mistake("the name says SVG: x.svg; name it .png", function() p:save("x.svg") return 1 end)
    mistake("no bars to stand on", function() p:bars({"a"}, {1}, {stack = true}) return 1 end)
    mistake('values is "%d %d"', function() p:bars({"a"}, {1}, {values = "%d %d"}) return 1 end)
    mistake("plot.bars: parts must be a list", function() plot.bars({"a"}, {1}) return 1 end)
    mistake("plot.new: no option", function()
      plot.bars({"a"}, {{"b", {1}}}, {color = 1})
      return 1
    end)
    p:line({1}, {1})
    mistake("a heatmap shares", function() p:heatmap({{1}}) return 1 end)
    mistake("row 1, place 2 is no plot", function() plot.grid({{p, 3}}) return 1 end)
  end)
end)
