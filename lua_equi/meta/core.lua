---@meta
-- Generated from the sources by `make doc`: what the editor knows of the functions written in C.

---@alias equi.Dtype "f32"|"f64"|"i64"|"u8"|"bool"

---@class equi.Tensor
---@field shape integer[]
---@field dtype equi.Dtype
---@field ndim integer
---@field grad equi.Tensor?
---@field requires_grad boolean
---@field is_leaf boolean
---@field grad_op string?
---@operator add(equi.Tensor|number): equi.Tensor
---@operator sub(equi.Tensor|number): equi.Tensor
---@operator mul(equi.Tensor|number): equi.Tensor
---@operator div(equi.Tensor|number): equi.Tensor
---@operator pow(equi.Tensor|number): equi.Tensor
---@operator mod(equi.Tensor|number): equi.Tensor
---@operator idiv(equi.Tensor|number): equi.Tensor
---@operator unm: equi.Tensor
---@operator len: integer
local tensor = {}

---@class equi
local equi = {}

equi.action = {}

---@class equi.Action
local action = {}

equi.backend = {}

---@class equi.Equituned
local equituned = {}

equi.group = {}

---@class equi.Group
local group = {}

---Absolute value; derivative 0 at 0.
---@param x equi.Tensor
---@return equi.Tensor y
function equi.abs(x) end

---Absolute value; derivative 0 at 0.
---@return equi.Tensor y
function tensor:abs() end

---Absolute value; derivative 0 at 0.
---@return equi.Tensor y
function tensor:abs_() end

---Arc cosine in radians; NaN outside -1 to 1.
---@param x equi.Tensor
---@return equi.Tensor y
function equi.acos(x) end

---Arc cosine in radians; NaN outside -1 to 1.
---@return equi.Tensor y
function tensor:acos() end

---Arc cosine in radians; NaN outside -1 to 1.
---@return equi.Tensor y
function tensor:acos_() end

---One step of Adam (decoupled: AdamW) over all parameters, in place; optim.adam keeps the state.
---@param params equi.Tensor[]
---@param mean equi.Tensor[]
---@param square equi.Tensor[]
---@param lr? number default 0.001
---@param beta1? number default 0.9
---@param beta2? number default 0.999
---@param eps? number default 1e-8
---@param weight_decay? number default 0
---@param decoupled? boolean default false
---@param step? integer default 1
function equi.adam_step(params, mean, square, lr, beta1, beta2, eps, weight_decay, decoupled, step) end

---The means of size = {height, width} (or one number for both) windows that cover x evenly, per channel:
---rows floor(i H / h) to ceil((i + 1) H / h), and columns so, channels-last. Size 1 is the mean of all pixels.
---@param x equi.Tensor
---@param size integer|integer[]
---@return equi.Tensor y
function equi.adaptive_avg_pool2d(x, size) end

---The means of size = {height, width} (or one number for both) windows that cover x evenly, per channel:
---rows floor(i H / h) to ceil((i + 1) H / h), and columns so, channels-last. Size 1 is the mean of all pixels.
---@param size integer|integer[]
---@return equi.Tensor y
function tensor:adaptive_avg_pool2d(size) end

---The largest numbers of size = {height, width} (or one number for both) windows that cover x evenly, as
---those of adaptive_avg_pool2d; NaN wins.
---@param x equi.Tensor
---@param size integer|integer[]
---@return equi.Tensor y
function equi.adaptive_max_pool2d(x, size) end

---The largest numbers of size = {height, width} (or one number for both) windows that cover x evenly, as
---those of adaptive_avg_pool2d; NaN wins.
---@param size integer|integer[]
---@return equi.Tensor y
function tensor:adaptive_max_pool2d(size) end

---x + y, broadcast.
---@param x equi.Tensor|number
---@param y equi.Tensor|number
---@return equi.Tensor z
function equi.add(x, y) end

---x + y, broadcast.
---@param y equi.Tensor|number
---@return equi.Tensor z
function tensor:add(y) end

---x + y, broadcast.
---@param y equi.Tensor|number
---@return equi.Tensor z
function tensor:add_(y) end

---x w + b with w of in x out and b of out: linear with a transposed w, as GPT-2's files have them.
---@param x equi.Tensor
---@param w equi.Tensor
---@param b? equi.Tensor
---@return equi.Tensor y
function equi.affine(x, w, b) end

---x w + b with w of in x out and b of out: linear with a transposed w, as GPT-2's files have them.
---@param w equi.Tensor
---@param b? equi.Tensor
---@return equi.Tensor y
function tensor:affine(w, b) end

---Whether all elements over the dims given, or all, are not 0; a bool tensor. True of nothing.
---@param x equi.Tensor
---@param dim? integer|integer[]
---@param keepdim? boolean default false
---@return equi.Tensor y
function equi.all(x, dim, keepdim) end

---Whether all elements over the dims given, or all, are not 0; a bool tensor. True of nothing.
---@param dim? integer|integer[]
---@param keepdim? boolean default false
---@return equi.Tensor y
function tensor:all(dim, keepdim) end

---The largest elements over the dims given, or over all; NaN wins. Equal ones share the gradient.
---@param x equi.Tensor
---@param dim? integer|integer[]
---@param keepdim? boolean default false
---@return equi.Tensor y
function equi.amax(x, dim, keepdim) end

---The largest elements over the dims given, or over all; NaN wins. Equal ones share the gradient.
---@param dim? integer|integer[]
---@param keepdim? boolean default false
---@return equi.Tensor y
function tensor:amax(dim, keepdim) end

---The smallest elements over the dims given, or over all; NaN wins. Equal ones share the gradient.
---@param x equi.Tensor
---@param dim? integer|integer[]
---@param keepdim? boolean default false
---@return equi.Tensor y
function equi.amin(x, dim, keepdim) end

---The smallest elements over the dims given, or over all; NaN wins. Equal ones share the gradient.
---@param dim? integer|integer[]
---@param keepdim? boolean default false
---@return equi.Tensor y
function tensor:amin(dim, keepdim) end

---Whether any element over the dims given, or of all, is not 0; a bool tensor. False of nothing.
---@param x equi.Tensor
---@param dim? integer|integer[]
---@param keepdim? boolean default false
---@return equi.Tensor y
function equi.any(x, dim, keepdim) end

---Whether any element over the dims given, or of all, is not 0; a bool tensor. False of nothing.
---@param dim? integer|integer[]
---@param keepdim? boolean default false
---@return equi.Tensor y
function tensor:any(dim, keepdim) end

---x [B, C, ..] and new [B, D, ..] behind each other along dim 2, channels-last: cat({x, new}, 2) into
---memory for `room` channels. Appending to such a result again copies only what is new, as long
---as there is room: y then shares x's memory, so neither should be changed in place.
---Memory-efficient dense blocks are made of it (Pleiss et al. 2017, arXiv 1707.06990).
---@param x equi.Tensor
---@param new equi.Tensor
---@param room? integer default 0
---@return equi.Tensor y
function equi.append(x, new, room) end

---x [B, C, ..] and new [B, D, ..] behind each other along dim 2, channels-last: cat({x, new}, 2) into
---memory for `room` channels. Appending to such a result again copies only what is new, as long
---as there is room: y then shares x's memory, so neither should be changed in place.
---Memory-efficient dense blocks are made of it (Pleiss et al. 2017, arXiv 1707.06990).
---@param new equi.Tensor
---@param room? integer default 0
---@return equi.Tensor y
function tensor:append(new, room) end

---The position, from 1, of the largest element along one dim, or in row-major order of all; i64.
---The first of equal ones; NaN wins.
---@param x equi.Tensor
---@param dim? integer
---@param keepdim? boolean default false
---@return equi.Tensor index
function equi.argmax(x, dim, keepdim) end

---The position, from 1, of the largest element along one dim, or in row-major order of all; i64.
---The first of equal ones; NaN wins.
---@param dim? integer
---@param keepdim? boolean default false
---@return equi.Tensor index
function tensor:argmax(dim, keepdim) end

---The position, from 1, of the smallest element along one dim, or in row-major order of all; i64.
---The first of equal ones; NaN wins.
---@param x equi.Tensor
---@param dim? integer
---@param keepdim? boolean default false
---@return equi.Tensor index
function equi.argmin(x, dim, keepdim) end

---The position, from 1, of the smallest element along one dim, or in row-major order of all; i64.
---The first of equal ones; NaN wins.
---@param dim? integer
---@param keepdim? boolean default false
---@return equi.Tensor index
function tensor:argmin(dim, keepdim) end

---The second result of sort: the ids that put a dim in order.
---@param x equi.Tensor
---@param dim? integer default -1
---@param descending? boolean default false
---@return equi.Tensor ids
function equi.argsort(x, dim, descending) end

---The second result of sort: the ids that put a dim in order.
---@param dim? integer default -1
---@param descending? boolean default false
---@return equi.Tensor ids
function tensor:argsort(dim, descending) end

---Arc sine in radians; NaN outside -1 to 1.
---@param x equi.Tensor
---@return equi.Tensor y
function equi.asin(x) end

---Arc sine in radians; NaN outside -1 to 1.
---@return equi.Tensor y
function tensor:asin() end

---Arc sine in radians; NaN outside -1 to 1.
---@return equi.Tensor y
function tensor:asin_() end

---Arc tangent.
---@param x equi.Tensor
---@return equi.Tensor y
function equi.atan(x) end

---Arc tangent.
---@return equi.Tensor y
function tensor:atan() end

---Arc tangent.
---@return equi.Tensor y
function tensor:atan_() end

---The angle of the point (y, x): atan(x / y) in the right quadrant.
---@param x equi.Tensor|number
---@param y equi.Tensor|number
---@return equi.Tensor z
function equi.atan2(x, y) end

---The angle of the point (y, x): atan(x / y) in the right quadrant.
---@param y equi.Tensor|number
---@return equi.Tensor z
function tensor:atan2(y) end

---A recurrent decoder with dot-product attention, all steps in one op.
---Step: e = dropout(emb[token]); a = softmax(h . enc); k = sum of a enc; x = relu(wc [e; k] + bc);
---h, c = cell(x, h, c); logp = log_softmax(wo h + bo), h and c being the previous states in a.
---enc [B, T, H], lengths [B] (i64): valid places of enc (absent: all), h0, c0 [B, H], emb [V, E],
---wc [X, E + H], w_ih [gates H, X], w_hh [gates H, H], wo [V, H]; biases may be absent.
---logp [B, L, V], tokens [B, L] (argmax, i64, from 1), h_n and c_n [B, H] (c_n is 0 x H unless lstm).
---L is steps, else the columns of targets [B, L], else 50. teacher feeds the targets (0 is padding),
---otherwise the step's own token is fed, without gradient. start [B]: first tokens instead of sos.
---stop: a row that says eos ends there: its later logp are 0, its later tokens eos.
---p, training: dropout of the embedded token. Call inside no_grad to keep nothing of the steps.
---Lake and Baroni, ICML 2018; Gordon et al., ICLR 2020.
---@param enc equi.Tensor
---@param h0 equi.Tensor
---@param c0? equi.Tensor
---@param emb equi.Tensor
---@param wc equi.Tensor
---@param bc? equi.Tensor
---@param w_ih equi.Tensor
---@param w_hh equi.Tensor
---@param b_ih? equi.Tensor
---@param b_hh? equi.Tensor
---@param wo equi.Tensor
---@param bo? equi.Tensor
---@param lengths? equi.Tensor
---@param targets? equi.Tensor
---@param start? equi.Tensor
---@param cell? "lstm"|"gru"|"rnn"|"rnn_relu" default lstm
---@param steps? integer
---@param sos? integer default 1
---@param eos? integer default 2
---@param teacher? boolean default false
---@param stop? boolean default false
---@param p? number default 0
---@param training? boolean default false
---@return equi.Tensor logp
---@return equi.Tensor tokens
---@return equi.Tensor h_n
---@return equi.Tensor c_n
function equi.attn_decoder(enc, h0, c0, emb, wc, bc, w_ih, w_hh, b_ih, b_hh, wo, bo, lengths, targets, start, cell, steps, sos, eos, teacher, stop, p, training) end

---The mean of each window, per channel.
---Windows of `kernel` pixels, `stride` apart (by default side by side), of B x C x H x W images; each number
---is for both dims or {height, width}. padding adds zeros, at most half the kernel; with
---count_include_pad = false they do not count in the mean. `divisor` divides the sums in place of
---the count. Sizes as in max_pool2d, channels-last.
---@param x equi.Tensor
---@param kernel integer|integer[]
---@param stride? integer|integer[]
---@param padding? integer|integer[] default 0
---@param ceil_mode? boolean default false
---@param count_include_pad? boolean default true
---@param divisor? integer
---@return equi.Tensor y
function equi.avg_pool2d(x, kernel, stride, padding, ceil_mode, count_include_pad, divisor) end

---The mean of each window, per channel.
---Windows of `kernel` pixels, `stride` apart (by default side by side), of B x C x H x W images; each number
---is for both dims or {height, width}. padding adds zeros, at most half the kernel; with
---count_include_pad = false they do not count in the mean. `divisor` divides the sums in place of
---the count. Sizes as in max_pool2d, channels-last.
---@param kernel integer|integer[]
---@param stride? integer|integer[]
---@param padding? integer|integer[] default 0
---@param ceil_mode? boolean default false
---@param count_include_pad? boolean default true
---@param divisor? integer
---@return equi.Tensor y
function tensor:avg_pool2d(kernel, stride, padding, ceil_mode, count_include_pad, divisor) end

---(x - mean) / sqrt(var + eps) * weight + bias for every channel of x [B, C], [B, C, L] or
---[B, C, H, W]; the rest are [C]. In training mean and var are those of the batch, and the running
---ones that are given move: running = (1 - momentum) running + momentum batch, where var divides
---by the count less one. With add, of x's shape, the result is + add; with relu = true it is
---relu of that, all in one pass. The result is channels-last. Ioffe and Szegedy,
---"Batch normalization", 2015.
---@param x equi.Tensor
---@param mean? equi.Tensor
---@param var? equi.Tensor
---@param weight? equi.Tensor
---@param bias? equi.Tensor
---@param add? equi.Tensor
---@param training? boolean default false
---@param momentum? number default 0.1
---@param eps? number default 1e-5
---@param relu? boolean default false
---@return equi.Tensor y
function equi.batch_norm(x, mean, var, weight, bias, add, training, momentum, eps, relu) end

---(x - mean) / sqrt(var + eps) * weight + bias for every channel of x [B, C], [B, C, L] or
---[B, C, H, W]; the rest are [C]. In training mean and var are those of the batch, and the running
---ones that are given move: running = (1 - momentum) running + momentum batch, where var divides
---by the count less one. With add, of x's shape, the result is + add; with relu = true it is
---relu of that, all in one pass. The result is channels-last. Ioffe and Szegedy,
---"Batch normalization", 2015.
---@param mean? equi.Tensor
---@param var? equi.Tensor
---@param weight? equi.Tensor
---@param bias? equi.Tensor
---@param add? equi.Tensor
---@param training? boolean default false
---@param momentum? number default 0.1
---@param eps? number default 1e-5
---@param relu? boolean default false
---@return equi.Tensor y
function tensor:batch_norm(mean, var, weight, bias, add, training, momentum, eps, relu) end

---Binary cross entropy of sigmoid(x) with targets y from 0 to 1, safe for large x:
----(pos_weight y log s(x) + (1 - y) log(1 - s(x))), times weight; both weights broadcast.
---@param x equi.Tensor
---@param y equi.Tensor
---@param weight? equi.Tensor
---@param pos_weight? equi.Tensor
---@param reduction? "mean"|"sum"|"none" default mean
---@return equi.Tensor loss
function equi.bce_with_logits(x, y, weight, pos_weight, reduction) end

---Binary cross entropy of sigmoid(x) with targets y from 0 to 1, safe for large x:
----(pos_weight y log s(x) + (1 - y) log(1 - s(x))), times weight; both weights broadcast.
---@param y equi.Tensor
---@param weight? equi.Tensor
---@param pos_weight? equi.Tensor
---@param reduction? "mean"|"sum"|"none" default mean
---@return equi.Tensor loss
function tensor:bce_with_logits(y, weight, pos_weight, reduction) end

---B products at once: x of B x n x k and w of B x k x m give B x n x m. Nothing is broadcast.
---@param x equi.Tensor
---@param w equi.Tensor
---@return equi.Tensor y
function equi.bmm(x, w) end

---B products at once: x of B x n x k and w of B x k x m give B x n x m. Nothing is broadcast.
---@param w equi.Tensor
---@return equi.Tensor y
function tensor:bmm(w) end

---The tensors of a list behind each other along a dim; all other sizes must agree. Images
---stay channels-last if the first is.
---@param xs equi.Tensor[]
---@param dim? integer default 1
---@return equi.Tensor y
function equi.cat(xs, dim) end

---Smallest whole number not below x; derivative 0.
---@param x equi.Tensor
---@return equi.Tensor y
function equi.ceil(x) end

---Smallest whole number not below x; derivative 0.
---@return equi.Tensor y
function tensor:ceil() end

---Smallest whole number not below x; derivative 0.
---@return equi.Tensor y
function tensor:ceil_() end

---x [B, C, H, W] with the channels of a pixel next to each other in memory: x itself if it
---already lies so, else a copy. Shape and values stay. Convolutions and pooling work in this
---layout and return it; element-wise ops keep the layout of their input.
---@param x equi.Tensor
---@return equi.Tensor y
function equi.channels_last(x) end

---x [B, C, H, W] with the channels of a pixel next to each other in memory: x itself if it
---already lies so, else a copy. Shape and values stay. Convolutions and pooling work in this
---layout and return it; element-wise ops keep the layout of their input.
---@return equi.Tensor y
function tensor:channels_last() end

---The lower triangular L with L L' = a, for symmetric positive definite a. Only a's lower triangle is read.
---The gradient is that of a symmetric a.
---@param a equi.Tensor
---@return equi.Tensor l
function equi.cholesky(a) end

---The lower triangular L with L L' = a, for symmetric positive definite a. Only a's lower triangle is read.
---The gradient is that of a symmetric a.
---@return equi.Tensor l
function tensor:cholesky() end

---x cut off at min and max, either of which may be absent; NaN stays. f32, f64, i64 and u8.
---The gradient passes where min <= x <= max.
---@param x equi.Tensor
---@param min? number
---@param max? number
---@return equi.Tensor y
function equi.clamp(x, min, max) end

---x cut off at min and max, either of which may be absent; NaN stays. f32, f64, i64 and u8.
---The gradient passes where min <= x <= max.
---@param min? number
---@param max? number
---@return equi.Tensor y
function tensor:clamp(min, max) end

---x cut off at min and max, either of which may be absent; NaN stays. f32, f64, i64 and u8.
---The gradient passes where min <= x <= max.
---@param min? number
---@param max? number
---@return equi.Tensor y
function tensor:clamp_(min, max) end

---Scales all gradients so that their joint Euclidean norm is at most max_norm; returns the norm before as an f64 number. NaN gradients stay as they are and give a NaN norm.
---@param params equi.Tensor[]
---@param max_norm number
---@return equi.Tensor norm
function equi.clip_grad_norm(params, max_norm) end

---Limits every element of every gradient to -max .. max.
---@param params equi.Tensor[]
---@param max number
function equi.clip_grad_value(params, max) end

---A row-major copy with its own memory.
---@param x equi.Tensor
---@return equi.Tensor y
function equi.clone(x) end

---A row-major copy with its own memory.
---@return equi.Tensor y
function tensor:clone() end

---The matrix w, f32 of out x in, in fewer bytes: a u8 tensor of out x bytes, and the scale of each
---row (none for bf16). bf16 keeps the upper half of each number, int8 rounds to multiples of a
---row's largest / 127. For compressed_linear; equi.compress does it for a whole model.
---@param w equi.Tensor
---@param as "bf16"|"int8"
---@return equi.Tensor y
---@return equi.Tensor scale
function equi.compress_weights(w, as) end

---x w' + b as of linear, with w and scale of compress_weights. Not differentiable.
---Up to 8 rows of x cost what reading w costs; a row has the same bits whatever the others.
---@param x equi.Tensor
---@param w equi.Tensor
---@param scale? equi.Tensor
---@param b? equi.Tensor
---@return equi.Tensor y
function equi.compressed_linear(x, w, scale, b) end

---Rows of `width` numbers of a matrix of compress_weights, one for every id, as embedding gives them.
---@param ids equi.Tensor
---@param w equi.Tensor
---@param scale? equi.Tensor
---@param width integer
---@return equi.Tensor y
function equi.compressed_rows(ids, w, scale, width) end

---Convolution of sequences: x is B x C x T, w is out x C / groups x K, b is out, the result B x out x T'.
---As conv2d along one dim; padding may also be {before, after}.
---@param x equi.Tensor
---@param w equi.Tensor
---@param b? equi.Tensor
---@param stride? integer|integer[] default 1
---@param padding? integer|integer[]|"same"|"valid" default 0
---@param dilation? integer|integer[] default 1
---@param groups? integer default 1
---@return equi.Tensor y
function equi.conv1d(x, w, b, stride, padding, dilation, groups) end

---Convolution of sequences: x is B x C x T, w is out x C / groups x K, b is out, the result B x out x T'.
---As conv2d along one dim; padding may also be {before, after}.
---@param w equi.Tensor
---@param b? equi.Tensor
---@param stride? integer|integer[] default 1
---@param padding? integer|integer[]|"same"|"valid" default 0
---@param dilation? integer|integer[] default 1
---@param groups? integer default 1
---@return equi.Tensor y
function tensor:conv1d(w, b, stride, padding, dilation, groups) end

---Convolution of images: x is B x C x H x W, w is out x C / groups x KH x KW, b is out, the result
---B x out x H' x W' with H' = floor((H + padding - dilation (KH - 1) - 1) / stride) + 1, channels-last.
---stride and dilation are one number, or {height, width}. Nothing is turned around: y = sum of w x.
---padding adds zeros: one number, or {height, width}, or {top, left, bottom, right}; "same" keeps the
---sizes (stride 1; of an odd number of zeros the larger half goes behind), "valid" adds none.
---With groups = n the channels are n networks side by side; groups = C is depthwise.
---@param x equi.Tensor
---@param w equi.Tensor
---@param b? equi.Tensor
---@param stride? integer|integer[] default 1
---@param padding? integer|integer[]|"same"|"valid" default 0
---@param dilation? integer|integer[] default 1
---@param groups? integer default 1
---@return equi.Tensor y
function equi.conv2d(x, w, b, stride, padding, dilation, groups) end

---Convolution of images: x is B x C x H x W, w is out x C / groups x KH x KW, b is out, the result
---B x out x H' x W' with H' = floor((H + padding - dilation (KH - 1) - 1) / stride) + 1, channels-last.
---stride and dilation are one number, or {height, width}. Nothing is turned around: y = sum of w x.
---padding adds zeros: one number, or {height, width}, or {top, left, bottom, right}; "same" keeps the
---sizes (stride 1; of an odd number of zeros the larger half goes behind), "valid" adds none.
---With groups = n the channels are n networks side by side; groups = C is depthwise.
---@param w equi.Tensor
---@param b? equi.Tensor
---@param stride? integer|integer[] default 1
---@param padding? integer|integer[]|"same"|"valid" default 0
---@param dilation? integer|integer[] default 1
---@param groups? integer default 1
---@return equi.Tensor y
function tensor:conv2d(w, b, stride, padding, dilation, groups) end

---relu(conv2d(x, w, b) + add) without a gradient, for models whose weights do not change. The
---second result is w in the order that the fast paths read; given back as `packed` it saves that work,
---and equi.fuse does so.
---@param x equi.Tensor
---@param w equi.Tensor
---@param b? equi.Tensor
---@param packed? equi.Tensor
---@param add? equi.Tensor
---@param stride? integer|integer[] default 1
---@param padding? integer|integer[]|"same"|"valid" default 0
---@param dilation? integer|integer[] default 1
---@param groups? integer default 1
---@param relu? boolean default false
---@return equi.Tensor y
---@return equi.Tensor packed
function equi.conv2d_fused(x, w, b, packed, add, stride, padding, dilation, groups, relu) end

---The transpose of conv2d, which makes images larger: x is B x C x H x W, w is C x out / groups x KH x KW,
---b is out, the result B x out x H' x W' with
---H' = (H - 1) stride - 2 padding + dilation (KH - 1) + output_padding + 1, channels-last.
---Numbers are for both dims, or {height, width}. Each pixel of x adds w times itself to the
---result. As a matrix it is conv2d's transposed, not its inverse.
---@param x equi.Tensor
---@param w equi.Tensor
---@param b? equi.Tensor
---@param stride? integer|integer[] default 1
---@param padding? integer|integer[] default 0
---@param output_padding? integer|integer[] default 0
---@param dilation? integer|integer[] default 1
---@param groups? integer default 1
---@return equi.Tensor y
function equi.conv_transpose2d(x, w, b, stride, padding, output_padding, dilation, groups) end

---The transpose of conv2d, which makes images larger: x is B x C x H x W, w is C x out / groups x KH x KW,
---b is out, the result B x out x H' x W' with
---H' = (H - 1) stride - 2 padding + dilation (KH - 1) + output_padding + 1, channels-last.
---Numbers are for both dims, or {height, width}. Each pixel of x adds w times itself to the
---result. As a matrix it is conv2d's transposed, not its inverse.
---@param w equi.Tensor
---@param b? equi.Tensor
---@param stride? integer|integer[] default 1
---@param padding? integer|integer[] default 0
---@param output_padding? integer|integer[] default 0
---@param dilation? integer|integer[] default 1
---@param groups? integer default 1
---@return equi.Tensor y
function tensor:conv_transpose2d(w, b, stride, padding, output_padding, dilation, groups) end

---Cosine of x in radians.
---@param x equi.Tensor
---@return equi.Tensor y
function equi.cos(x) end

---Cosine of x in radians.
---@return equi.Tensor y
function tensor:cos() end

---Cosine of x in radians.
---@return equi.Tensor y
function tensor:cos_() end

---Hyperbolic cosine.
---@param x equi.Tensor
---@return equi.Tensor y
function equi.cosh(x) end

---Hyperbolic cosine.
---@return equi.Tensor y
function tensor:cosh() end

---Hyperbolic cosine.
---@return equi.Tensor y
function tensor:cosh_() end

---nll_loss of log_softmax(x), for classes (i64, from 1), or for target probabilities of x's shape.
---x has the classes in dim 2 (dim 1 if it has one dim only), targets x's shape without it.
---weight: one number per class; the mean divides by the sum of the targets' weights (with
---probabilities: by the number of positions). label_smoothing s mixes the targets with the
---uniform distribution: (1 - s) target + s / classes.
---@param x equi.Tensor
---@param targets equi.Tensor
---@param weight? equi.Tensor
---@param ignore_index? integer
---@param label_smoothing? number default 0
---@param reduction? "mean"|"sum"|"none" default mean
---@return equi.Tensor loss
function equi.cross_entropy(x, targets, weight, ignore_index, label_smoothing, reduction) end

---nll_loss of log_softmax(x), for classes (i64, from 1), or for target probabilities of x's shape.
---x has the classes in dim 2 (dim 1 if it has one dim only), targets x's shape without it.
---weight: one number per class; the mean divides by the sum of the targets' weights (with
---probabilities: by the number of positions). label_smoothing s mixes the targets with the
---uniform distribution: (1 - s) target + s / classes.
---@param targets equi.Tensor
---@param weight? equi.Tensor
---@param ignore_index? integer
---@param label_smoothing? number default 0
---@param reduction? "mean"|"sum"|"none" default mean
---@return equi.Tensor loss
function tensor:cross_entropy(targets, weight, ignore_index, label_smoothing, reduction) end

---Running sums along one dim, by default the last: y_i = x_1 + ... + x_i. f32, f64 and i64.
---@param x equi.Tensor
---@param dim? integer default -1
---@return equi.Tensor y
function equi.cumsum(x, dim) end

---Running sums along one dim, by default the last: y_i = x_1 + ... + x_i. f32, f64 and i64.
---@param dim? integer default -1
---@return equi.Tensor y
function tensor:cumsum(dim) end

---The determinant of square matrices. The gradient needs an inverse.
---@param a equi.Tensor
---@return equi.Tensor y
function equi.det(a) end

---The determinant of square matrices. The gradient needs an inverse.
---@return equi.Tensor y
function tensor:det() end

---The diagonal of a matrix (a view), or the matrix with a vector on its diagonal.
---@param x equi.Tensor
---@param offset? integer default 0
---@return equi.Tensor y
function equi.diag(x, offset) end

---The diagonal of a matrix (a view), or the matrix with a vector on its diagonal.
---@param offset? integer default 0
---@return equi.Tensor y
function tensor:diag(offset) end

---A view of the diagonal of two dims, as the last dim. offset 1 is the one above, -1 the one below.
---@param x equi.Tensor
---@param offset? integer default 0
---@param dim1? integer default 1
---@param dim2? integer default 2
---@return equi.Tensor y
function equi.diagonal(x, offset, dim1, dim2) end

---A view of the diagonal of two dims, as the last dim. offset 1 is the one above, -1 the one below.
---@param offset? integer default 0
---@param dim1? integer default 1
---@param dim2? integer default 2
---@return equi.Tensor y
function tensor:diagonal(offset, dim1, dim2) end

---x / y, broadcast. Floats only; whole numbers divide with //.
---@param x equi.Tensor|number
---@param y equi.Tensor|number
---@return equi.Tensor z
function equi.div(x, y) end

---x / y, broadcast. Floats only; whole numbers divide with //.
---@param y equi.Tensor|number
---@return equi.Tensor z
function tensor:div(y) end

---x / y, broadcast. Floats only; whole numbers divide with //.
---@param y equi.Tensor|number
---@return equi.Tensor z
function tensor:div_(y) end

---The inner product of two vectors of one length.
---@param x equi.Tensor
---@param y equi.Tensor
---@return equi.Tensor z
function equi.dot(x, y) end

---The inner product of two vectors of one length.
---@param y equi.Tensor
---@return equi.Tensor z
function tensor:dot(y) end

---Elements become 0 with probability p, the others are divided by 1 - p, so that the mean stays.
---With training = false, or p = 0, the result is x itself. Follows equi.seed.
---@param x equi.Tensor
---@param p? number default 0.5
---@param training? boolean default true
---@return equi.Tensor y
function equi.dropout(x, p, training) end

---Elements become 0 with probability p, the others are divided by 1 - p, so that the mean stays.
---With training = false, or p = 0, the result is x itself. Follows equi.seed.
---@param p? number default 0.5
---@param training? boolean default true
---@return equi.Tensor y
function tensor:dropout(p, training) end

---Eigenvalues in ascending order and eigenvectors (the columns of v) of symmetric matrices; only the lower
---triangle is read. Gradients of v need different eigenvalues.
---@param a equi.Tensor
---@return equi.Tensor w
---@return equi.Tensor v
function equi.eigh(a) end

---Eigenvalues in ascending order and eigenvectors (the columns of v) of symmetric matrices; only the lower
---triangle is read. Gradients of v need different eigenvalues.
---@return equi.Tensor w
---@return equi.Tensor v
function tensor:eigh() end

---Sums of products by letters, one letter a dim: "ij,jk->ik" is the matrix product. Letters that are not in the
---result are summed; a letter twice in one operand is its diagonal; ... stands for any dims, which broadcast.
---Without an arrow the result has the dims of ... and then, in alphabetical order, the letters that occur once.
---More than two operands are multiplied from left to right.
---@param equation string
---@param xs equi.Tensor[]
---@return equi.Tensor y
function equi.einsum(equation, xs) end

---x where positive, else alpha * (exp(x) - 1). Clevert et al., 2016.
---@param x equi.Tensor
---@param alpha? number default 1
---@return equi.Tensor y
function equi.elu(x, alpha) end

---x where positive, else alpha * (exp(x) - 1). Clevert et al., 2016.
---@param alpha? number default 1
---@return equi.Tensor y
function tensor:elu(alpha) end

---x where positive, else alpha * (exp(x) - 1). Clevert et al., 2016.
---@param alpha? number default 1
---@return equi.Tensor y
function tensor:elu_(alpha) end

---Row ids[...] of weight for every id: ids of any shape, weight V x D, result ids' shape x D.
---ids are i64 and count from 1. The row padding_idx receives no gradient.
---@param ids equi.Tensor
---@param weight equi.Tensor
---@param padding_idx? integer
---@return equi.Tensor y
function equi.embedding(ids, weight, padding_idx) end

---Row ids[...] of weight for every id: ids of any shape, weight V x D, result ids' shape x D.
---ids are i64 and count from 1. The row padding_idx receives no gradient.
---@param weight equi.Tensor
---@param padding_idx? integer
---@return equi.Tensor y
function tensor:embedding(weight, padding_idx) end

---True where x equal to y, broadcast; a bool tensor.
---@param x equi.Tensor|number
---@param y equi.Tensor|number
---@return equi.Tensor z
function equi.eq(x, y) end

---True where x equal to y, broadcast; a bool tensor.
---@param y equi.Tensor|number
---@return equi.Tensor z
function tensor:eq(y) end

---Error function, 2/sqrt(pi) * integral of exp(-t^2).
---@param x equi.Tensor
---@return equi.Tensor y
function equi.erf(x) end

---Error function, 2/sqrt(pi) * integral of exp(-t^2).
---@return equi.Tensor y
function tensor:erf() end

---Error function, 2/sqrt(pi) * integral of exp(-t^2).
---@return equi.Tensor y
function tensor:erf_() end

---e to the power x.
---@param x equi.Tensor
---@return equi.Tensor y
function equi.exp(x) end

---e to the power x.
---@return equi.Tensor y
function tensor:exp() end

---e to the power x.
---@return equi.Tensor y
function tensor:exp_() end

---2 to the power x.
---@param x equi.Tensor
---@return equi.Tensor y
function equi.exp2(x) end

---2 to the power x.
---@return equi.Tensor y
function tensor:exp2() end

---2 to the power x.
---@return equi.Tensor y
function tensor:exp2_() end

---A view that repeats dims of size 1 (stride 0) to the sizes given; -1 leaves a size.
---@param x equi.Tensor
---@param sizes integer|integer[]
---@return equi.Tensor y
function equi.expand(x, sizes) end

---A view that repeats dims of size 1 (stride 0) to the sizes given; -1 leaves a size.
---@param sizes integer|integer[]
---@return equi.Tensor y
function tensor:expand(sizes) end

---exp(x) - 1, exact near 0.
---@param x equi.Tensor
---@return equi.Tensor y
function equi.expm1(x) end

---exp(x) - 1, exact near 0.
---@return equi.Tensor y
function tensor:expm1() end

---exp(x) - 1, exact near 0.
---@return equi.Tensor y
function tensor:expm1_() end

---The dims from first to last as one; by default all.
---@param x equi.Tensor
---@param first? integer default 1
---@param last? integer default -1
---@return equi.Tensor y
function equi.flatten(x, first, last) end

---The dims from first to last as one; by default all.
---@param first? integer default 1
---@param last? integer default -1
---@return equi.Tensor y
function tensor:flatten(first, last) end

---x with the order of the given dims reversed.
---@param x equi.Tensor
---@param dims integer|integer[]
---@return equi.Tensor y
function equi.flip(x, dims) end

---x with the order of the given dims reversed.
---@param dims integer|integer[]
---@return equi.Tensor y
function tensor:flip(dims) end

---Largest whole number not above x; derivative 0.
---@param x equi.Tensor
---@return equi.Tensor y
function equi.floor(x) end

---Largest whole number not above x; derivative 0.
---@return equi.Tensor y
function tensor:floor() end

---Largest whole number not above x; derivative 0.
---@return equi.Tensor y
function tensor:floor_() end

---The floor of x / y, as Lua's //. i64 by 0 gives 0.
---@param x equi.Tensor|number
---@param y equi.Tensor|number
---@return equi.Tensor z
function equi.floor_divide(x, y) end

---The floor of x / y, as Lua's //. i64 by 0 gives 0.
---@param y equi.Tensor|number
---@return equi.Tensor z
function tensor:floor_divide(y) end

---The floor of x / y, as Lua's //. i64 by 0 gives 0.
---@param y equi.Tensor|number
---@return equi.Tensor z
function tensor:floor_divide_(y) end

---y has the shape of ids; for dim 2: y[i][j] = x[i][ids[i][j]]. ids have x's number of dims and are
---not larger than x in the others.
---@param x equi.Tensor
---@param dim integer
---@param ids equi.Tensor
---@return equi.Tensor y
function equi.gather(x, dim, ids) end

---y has the shape of ids; for dim 2: y[i][j] = x[i][ids[i][j]]. ids have x's number of dims and are
---not larger than x in the others.
---@param dim integer
---@param ids equi.Tensor
---@return equi.Tensor y
function tensor:gather(dim, ids) end

---True where x greater than or equal to y, broadcast; a bool tensor.
---@param x equi.Tensor|number
---@param y equi.Tensor|number
---@return equi.Tensor z
function equi.ge(x, y) end

---True where x greater than or equal to y, broadcast; a bool tensor.
---@param y equi.Tensor|number
---@return equi.Tensor z
function tensor:ge(y) end

---x times the normal distribution function, x (1 + erf(x / sqrt 2)) / 2; with approximate =
---"tanh" x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))) / 2, as in GPT-2.
---Hendrycks and Gimpel, "Gaussian error linear units", 2016.
---@param x equi.Tensor
---@param approximate? "none"|"tanh" default none
---@return equi.Tensor y
function equi.gelu(x, approximate) end

---x times the normal distribution function, x (1 + erf(x / sqrt 2)) / 2; with approximate =
---"tanh" x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))) / 2, as in GPT-2.
---Hendrycks and Gimpel, "Gaussian error linear units", 2016.
---@param approximate? "none"|"tanh" default none
---@return equi.Tensor y
function tensor:gelu(approximate) end

---x times the normal distribution function, x (1 + erf(x / sqrt 2)) / 2; with approximate =
---"tanh" x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))) / 2, as in GPT-2.
---Hendrycks and Gimpel, "Gaussian error linear units", 2016.
---@param approximate? "none"|"tanh" default none
---@return equi.Tensor y
function tensor:gelu_(approximate) end

---(x - mean) / sqrt(var + eps) * weight + bias, where mean and var are those of a group of
---neighbouring channels of one image of x [B, C, ..]. groups must divide C; weight and bias are [C].
---The result is channels-last. Wu and He, "Group normalization", 2018.
---@param x equi.Tensor
---@param groups integer
---@param weight? equi.Tensor
---@param bias? equi.Tensor
---@param eps? number default 1e-5
---@return equi.Tensor y
function equi.group_norm(x, groups, weight, bias, eps) end

---(x - mean) / sqrt(var + eps) * weight + bias, where mean and var are those of a group of
---neighbouring channels of one image of x [B, C, ..]. groups must divide C; weight and bias are [C].
---The result is channels-last. Wu and He, "Group normalization", 2018.
---@param groups integer
---@param weight? equi.Tensor
---@param bias? equi.Tensor
---@param eps? number default 1e-5
---@return equi.Tensor y
function tensor:group_norm(groups, weight, bias, eps) end

---GRU layer over whole sequences, one direction.
---w_ih [3 H, D], w_hh [3 H, H]. Gates r z n (Cho et al. 2014); r acts after b_hh is added, as in PyTorch.
---x [B, T, D], states [B, H] (absent: zeros), biases optional. y [B, T, H] holds every step's h,
---h_n [B, H] the last. lengths [B] (i64): steps of each row; y is 0 after them and h_n is the
---state there. reverse reads each row from its last valid step to the first. Gate order, formulas
---and weights are PyTorch's. Errors: sizes that do not fit; a length above T.
---@param x equi.Tensor
---@param h0? equi.Tensor
---@param w_ih equi.Tensor
---@param w_hh equi.Tensor
---@param b_ih? equi.Tensor
---@param b_hh? equi.Tensor
---@param lengths? equi.Tensor
---@param reverse? boolean default false
---@return equi.Tensor y
---@return equi.Tensor h_n
function equi.gru(x, h0, w_ih, w_hh, b_ih, b_hh, lengths, reverse) end

---One step of `gru`: x [B, D] and the state h [B, H] (absent: zeros) give the next one.
---@param x equi.Tensor
---@param h? equi.Tensor
---@param w_ih equi.Tensor
---@param w_hh equi.Tensor
---@param b_ih? equi.Tensor
---@param b_hh? equi.Tensor
---@return equi.Tensor h_n
function equi.gru_cell(x, h, w_ih, w_hh, b_ih, b_hh) end

---True where x greater than y, broadcast; a bool tensor.
---@param x equi.Tensor|number
---@param y equi.Tensor|number
---@return equi.Tensor z
function equi.gt(x, y) end

---True where x greater than y, broadcast; a bool tensor.
---@param y equi.Tensor|number
---@return equi.Tensor z
function tensor:gt(y) end

---x cut off at min and max; the derivative is 0 there.
---@param x equi.Tensor
---@param min? number default -1
---@param max? number default 1
---@return equi.Tensor y
function equi.hardtanh(x, min, max) end

---x cut off at min and max; the derivative is 0 there.
---@param min? number default -1
---@param max? number default 1
---@return equi.Tensor y
function tensor:hardtanh(min, max) end

---x cut off at min and max; the derivative is 0 there.
---@param min? number default -1
---@param max? number default 1
---@return equi.Tensor y
function tensor:hardtanh_(min, max) end

---x with src[j] added to the entry ids[j] of a dim; entries named twice get both, in order.
---@param x equi.Tensor
---@param dim integer
---@param ids equi.Tensor
---@param src equi.Tensor
---@return equi.Tensor y
function equi.index_add(x, dim, ids, src) end

---x with src[j] added to the entry ids[j] of a dim; entries named twice get both, in order.
---@param dim integer
---@param ids equi.Tensor
---@param src equi.Tensor
---@return equi.Tensor y
function tensor:index_add(dim, ids, src) end

---x with src[j] added to the entry ids[j] of a dim; entries named twice get both, in order.
---@param dim integer
---@param ids equi.Tensor
---@param src equi.Tensor
---@return equi.Tensor y
function tensor:index_add_(dim, ids, src) end

---The entries of a dim that ids, a list counted from 1, name, in that order. Repeats are allowed.
---An id out of range is an error.
---@param x equi.Tensor
---@param dim integer
---@param ids equi.Tensor
---@return equi.Tensor y
function equi.index_select(x, dim, ids) end

---The entries of a dim that ids, a list counted from 1, name, in that order. Repeats are allowed.
---An id out of range is an error.
---@param dim integer
---@param ids equi.Tensor
---@return equi.Tensor y
function tensor:index_select(dim, ids) end

---The inverse of square matrices. A singular one is an error.
---@param a equi.Tensor
---@return equi.Tensor y
function equi.inv(a) end

---The inverse of square matrices. A singular one is an error.
---@return equi.Tensor y
function tensor:inv() end

---True where x is neither infinite nor NaN; always for whole numbers.
---@param x equi.Tensor
---@return equi.Tensor y
function equi.is_finite(x) end

---True where x is neither infinite nor NaN; always for whole numbers.
---@return equi.Tensor y
function tensor:is_finite() end

---True where x is inf or -inf.
---@param x equi.Tensor
---@return equi.Tensor y
function equi.is_inf(x) end

---True where x is inf or -inf.
---@return equi.Tensor y
function tensor:is_inf() end

---True where x is not a number.
---@param x equi.Tensor
---@return equi.Tensor y
function equi.is_nan(x) end

---True where x is not a number.
---@return equi.Tensor y
function tensor:is_nan() end

---scaled_dot_product_attention of q, k and v that lie side by side: x [B, T, 3 H D], their thirds
---of H heads each, gives the heads side by side, [B, T, H D].
---@param x equi.Tensor
---@param forbidden? equi.Tensor
---@param heads integer
---@param causal? boolean default false
---@param scale? number
---@return equi.Tensor y
function equi.joint_attention(x, forbidden, heads, causal, scale) end

---y (log y - x) for log-probabilities x and probabilities y (their logarithms with log_target).
---"batchmean" divides the sum by the size of dim 1: the Kullback-Leibler divergence.
---@param x equi.Tensor
---@param y equi.Tensor
---@param log_target? boolean default false
---@param reduction? "mean"|"sum"|"none"|"batchmean" default mean
---@return equi.Tensor loss
function equi.kl_div(x, y, log_target, reduction) end

---y (log y - x) for log-probabilities x and probabilities y (their logarithms with log_target).
---"batchmean" divides the sum by the size of dim 1: the Kullback-Leibler divergence.
---@param y equi.Tensor
---@param log_target? boolean default false
---@param reduction? "mean"|"sum"|"none"|"batchmean" default mean
---@return equi.Tensor loss
function tensor:kl_div(y, log_target, reduction) end

---The k-th smallest entry of a dim (k from 1) and its id.
---@param x equi.Tensor
---@param k integer
---@param dim? integer default -1
---@param keepdim? boolean default false
---@return equi.Tensor y
---@return equi.Tensor ids
function equi.kthvalue(x, k, dim, keepdim) end

---The k-th smallest entry of a dim (k from 1) and its id.
---@param k integer
---@param dim? integer default -1
---@param keepdim? boolean default false
---@return equi.Tensor y
---@return equi.Tensor ids
function tensor:kthvalue(k, dim, keepdim) end

---|x - y|, averaged (the default), summed, or element by element.
---@param x equi.Tensor
---@param y equi.Tensor
---@param reduction? "mean"|"sum"|"none" default mean
---@return equi.Tensor loss
function equi.l1_loss(x, y, reduction) end

---|x - y|, averaged (the default), summed, or element by element.
---@param y equi.Tensor
---@param reduction? "mean"|"sum"|"none" default mean
---@return equi.Tensor loss
function tensor:l1_loss(y, reduction) end

---(x - mean) / sqrt(var + eps) * weight + bias over the last dims of x, whose sizes are given;
---weight and bias have those sizes too. var divides by the number of elements.
---Ba, Kiros and Hinton, "Layer normalization", 2016.
---@param x equi.Tensor
---@param sizes integer|integer[]
---@param weight? equi.Tensor
---@param bias? equi.Tensor
---@param eps? number default 1e-5
---@return equi.Tensor y
function equi.layer_norm(x, sizes, weight, bias, eps) end

---(x - mean) / sqrt(var + eps) * weight + bias over the last dims of x, whose sizes are given;
---weight and bias have those sizes too. var divides by the number of elements.
---Ba, Kiros and Hinton, "Layer normalization", 2016.
---@param sizes integer|integer[]
---@param weight? equi.Tensor
---@param bias? equi.Tensor
---@param eps? number default 1e-5
---@return equi.Tensor y
function tensor:layer_norm(sizes, weight, bias, eps) end

---True where x less than or equal to y, broadcast; a bool tensor.
---@param x equi.Tensor|number
---@param y equi.Tensor|number
---@return equi.Tensor z
function equi.le(x, y) end

---True where x less than or equal to y, broadcast; a bool tensor.
---@param y equi.Tensor|number
---@return equi.Tensor z
function tensor:le(y) end

---x where positive, else slope * x.
---@param x equi.Tensor
---@param slope? number default 0.01
---@return equi.Tensor y
function equi.leaky_relu(x, slope) end

---x where positive, else slope * x.
---@param slope? number default 0.01
---@return equi.Tensor y
function tensor:leaky_relu(slope) end

---x where positive, else slope * x.
---@param slope? number default 0.01
---@return equi.Tensor y
function tensor:leaky_relu_(slope) end

---x + weight * (y - x): from x at weight 0 to y at weight 1. All three broadcast.
---@param x equi.Tensor
---@param y equi.Tensor
---@param weight equi.Tensor|number
---@return equi.Tensor z
function equi.lerp(x, y, weight) end

---x + weight * (y - x): from x at weight 0 to y at weight 1. All three broadcast.
---@param y equi.Tensor
---@param weight equi.Tensor|number
---@return equi.Tensor z
function tensor:lerp(y, weight) end

---x + weight * (y - x): from x at weight 0 to y at weight 1. All three broadcast.
---@param y equi.Tensor
---@param weight equi.Tensor|number
---@return equi.Tensor z
function tensor:lerp_(y, weight) end

---x w' + b with w of out x in and b of out: the last dim of x, of size in, becomes out.
---@param x equi.Tensor
---@param w equi.Tensor
---@param b? equi.Tensor
---@return equi.Tensor y
function equi.linear(x, w, b) end

---x w' + b with w of out x in and b of out: the last dim of x, of size in, becomes out.
---@param w equi.Tensor
---@param b? equi.Tensor
---@return equi.Tensor y
function tensor:linear(w, b) end

---x / (k + alpha / size * sum)^beta, where sum is that of x^2 over `size` neighbouring channels of
---x [B, C, ..]: from size / 2 before a channel on, zeros beyond the ends. Krizhevsky, Sutskever and
---Hinton, "ImageNet classification with deep convolutional neural networks", 2012.
---@param x equi.Tensor
---@param size integer
---@param alpha? number default 1e-4
---@param beta? number default 0.75
---@param k? number default 1
---@return equi.Tensor y
function equi.local_response_norm(x, size, alpha, beta, k) end

---x / (k + alpha / size * sum)^beta, where sum is that of x^2 over `size` neighbouring channels of
---x [B, C, ..]: from size / 2 before a channel on, zeros beyond the ends. Krizhevsky, Sutskever and
---Hinton, "ImageNet classification with deep convolutional neural networks", 2012.
---@param size integer
---@param alpha? number default 1e-4
---@param beta? number default 0.75
---@param k? number default 1
---@return equi.Tensor y
function tensor:local_response_norm(size, alpha, beta, k) end

---Natural logarithm; -inf at 0, NaN below.
---@param x equi.Tensor
---@return equi.Tensor y
function equi.log(x) end

---Natural logarithm; -inf at 0, NaN below.
---@return equi.Tensor y
function tensor:log() end

---Natural logarithm; -inf at 0, NaN below.
---@return equi.Tensor y
function tensor:log_() end

---Logarithm to base 10; -inf at 0, NaN below.
---@param x equi.Tensor
---@return equi.Tensor y
function equi.log10(x) end

---Logarithm to base 10; -inf at 0, NaN below.
---@return equi.Tensor y
function tensor:log10() end

---Logarithm to base 10; -inf at 0, NaN below.
---@return equi.Tensor y
function tensor:log10_() end

---log(1 + x), exact near 0.
---@param x equi.Tensor
---@return equi.Tensor y
function equi.log1p(x) end

---log(1 + x), exact near 0.
---@return equi.Tensor y
function tensor:log1p() end

---log(1 + x), exact near 0.
---@return equi.Tensor y
function tensor:log1p_() end

---Logarithm to base 2; -inf at 0, NaN below.
---@param x equi.Tensor
---@return equi.Tensor y
function equi.log2(x) end

---Logarithm to base 2; -inf at 0, NaN below.
---@return equi.Tensor y
function tensor:log2() end

---Logarithm to base 2; -inf at 0, NaN below.
---@return equi.Tensor y
function tensor:log2_() end

---The logarithm of softmax, computed without taking a logarithm of something tiny:
---x - logsumexp(x) over one dim, by default the last.
---@param x equi.Tensor
---@param dim? integer default -1
---@return equi.Tensor y
function equi.log_softmax(x, dim) end

---The logarithm of softmax, computed without taking a logarithm of something tiny:
---x - logsumexp(x) over one dim, by default the last.
---@param dim? integer default -1
---@return equi.Tensor y
function tensor:log_softmax(dim) end

---True where x and y, as truth values, broadcast; a bool tensor.
---@param x equi.Tensor|number
---@param y equi.Tensor|number
---@return equi.Tensor z
function equi.logical_and(x, y) end

---True where x and y, as truth values, broadcast; a bool tensor.
---@param y equi.Tensor|number
---@return equi.Tensor z
function tensor:logical_and(y) end

---True where x is 0 or false; a bool tensor.
---@param x equi.Tensor
---@return equi.Tensor y
function equi.logical_not(x) end

---True where x is 0 or false; a bool tensor.
---@return equi.Tensor y
function tensor:logical_not() end

---True where x or y, as truth values, broadcast; a bool tensor.
---@param x equi.Tensor|number
---@param y equi.Tensor|number
---@return equi.Tensor z
function equi.logical_or(x, y) end

---True where x or y, as truth values, broadcast; a bool tensor.
---@param y equi.Tensor|number
---@return equi.Tensor z
function tensor:logical_or(y) end

---True where exactly one of x and y, as truth values, broadcast; a bool tensor.
---@param x equi.Tensor|number
---@param y equi.Tensor|number
---@return equi.Tensor z
function equi.logical_xor(x, y) end

---True where exactly one of x and y, as truth values, broadcast; a bool tensor.
---@param y equi.Tensor|number
---@return equi.Tensor z
function tensor:logical_xor(y) end

---log(sum(exp(x))) over the dims given, or over all, without overflow. keepdim leaves them with size 1.
---@param x equi.Tensor
---@param dim? integer|integer[]
---@param keepdim? boolean default false
---@return equi.Tensor y
function equi.logsumexp(x, dim, keepdim) end

---log(sum(exp(x))) over the dims given, or over all, without overflow. keepdim leaves them with size 1.
---@param dim? integer|integer[]
---@param keepdim? boolean default false
---@return equi.Tensor y
function tensor:logsumexp(dim, keepdim) end

---LSTM layer over whole sequences, one direction.
---w_ih [4 H, D], w_hh [4 H, H]. Gates i f g o (Hochreiter and Schmidhuber 1997).
---x [B, T, D], states [B, H] (absent: zeros), biases optional. y [B, T, H] holds every step's h,
---h_n [B, H] the last. lengths [B] (i64): steps of each row; y is 0 after them and h_n is the
---state there. reverse reads each row from its last valid step to the first. Gate order, formulas
---and weights are PyTorch's. Errors: sizes that do not fit; a length above T.
---@param x equi.Tensor
---@param h0? equi.Tensor
---@param c0? equi.Tensor
---@param w_ih equi.Tensor
---@param w_hh equi.Tensor
---@param b_ih? equi.Tensor
---@param b_hh? equi.Tensor
---@param lengths? equi.Tensor
---@param reverse? boolean default false
---@return equi.Tensor y
---@return equi.Tensor h_n
---@return equi.Tensor c_n
function equi.lstm(x, h0, c0, w_ih, w_hh, b_ih, b_hh, lengths, reverse) end

---One step of `lstm`: x [B, D] and the states h, c [B, H] (absent: zeros) give the next ones.
---@param x equi.Tensor
---@param h? equi.Tensor
---@param c? equi.Tensor
---@param w_ih equi.Tensor
---@param w_hh equi.Tensor
---@param b_ih? equi.Tensor
---@param b_hh? equi.Tensor
---@return equi.Tensor h_n
---@return equi.Tensor c_n
function equi.lstm_cell(x, h, c, w_ih, w_hh, b_ih, b_hh) end

---The x that makes |a x - b| smallest, for a with full rank and at least as many rows as columns.
---@param a equi.Tensor
---@param b equi.Tensor
---@return equi.Tensor x
function equi.lstsq(a, b) end

---The x that makes |a x - b| smallest, for a with full rank and at least as many rows as columns.
---@param b equi.Tensor
---@return equi.Tensor x
function tensor:lstsq(b) end

---True where x less than y, broadcast; a bool tensor.
---@param x equi.Tensor|number
---@param y equi.Tensor|number
---@return equi.Tensor z
function equi.lt(x, y) end

---True where x less than y, broadcast; a bool tensor.
---@param y equi.Tensor|number
---@return equi.Tensor z
function tensor:lt(y) end

---x with value, a number or a tensor, where mask (bool or u8) is true; all three broadcast.
---@param x equi.Tensor
---@param mask equi.Tensor
---@param value equi.Tensor|number
---@return equi.Tensor y
function equi.masked_fill(x, mask, value) end

---x with value, a number or a tensor, where mask (bool or u8) is true; all three broadcast.
---@param mask equi.Tensor
---@param value equi.Tensor|number
---@return equi.Tensor y
function tensor:masked_fill(mask, value) end

---x with value, a number or a tensor, where mask (bool or u8) is true; all three broadcast.
---@param mask equi.Tensor
---@param value equi.Tensor|number
---@return equi.Tensor y
function tensor:masked_fill_(mask, value) end

---The elements of x where mask is true, as a list in row-major order; both broadcast.
---@param x equi.Tensor
---@param mask equi.Tensor
---@return equi.Tensor y
function equi.masked_select(x, mask) end

---The elements of x where mask is true, as a list in row-major order; both broadcast.
---@param mask equi.Tensor
---@return equi.Tensor y
function tensor:masked_select(mask) end

---The matrix product. Two vectors give a number, a matrix and a vector a vector, n x k and k x m give n x m;
---dims before the last two are batch dims and broadcast. Transposed views are not copied.
---The result does not depend on the number of threads.
---@param x equi.Tensor
---@param w equi.Tensor
---@return equi.Tensor y
function equi.matmul(x, w) end

---The matrix product. Two vectors give a number, a matrix and a vector a vector, n x k and k x m give n x m;
---dims before the last two are batch dims and broadcast. Transposed views are not copied.
---The result does not depend on the number of threads.
---@param w equi.Tensor
---@return equi.Tensor y
function tensor:matmul(w) end

---The largest elements along one dim and their positions, from 1, the first of equal ones; NaN wins. Without a dim: over all elements, one value
---(equal ones share the gradient). With a dim the gradient goes to the position named.
---@param x equi.Tensor
---@param dim? integer
---@param keepdim? boolean default false
---@return equi.Tensor y
---@return equi.Tensor index
function equi.max(x, dim, keepdim) end

---The largest elements along one dim and their positions, from 1, the first of equal ones; NaN wins. Without a dim: over all elements, one value
---(equal ones share the gradient). With a dim the gradient goes to the position named.
---@param dim? integer
---@param keepdim? boolean default false
---@return equi.Tensor y
---@return equi.Tensor index
function tensor:max(dim, keepdim) end

---The largest number of each window, per channel; NaN wins.
---Windows of `kernel` pixels, `stride` apart (by default side by side), of B x C x H x W images; each number
---is for both dims or {height, width}. padding adds places that never win, at most half the kernel.
---The result has floor((H + 2 padding - dilation (kernel - 1) - 1) / stride) + 1 rows, channels-last; with
---ceil_mode that is rounded up: a window may reach over the end. Of equal numbers the first gets the
---gradient.
---@param x equi.Tensor
---@param kernel integer|integer[]
---@param stride? integer|integer[]
---@param padding? integer|integer[] default 0
---@param dilation? integer|integer[] default 1
---@param ceil_mode? boolean default false
---@return equi.Tensor y
function equi.max_pool2d(x, kernel, stride, padding, dilation, ceil_mode) end

---The largest number of each window, per channel; NaN wins.
---Windows of `kernel` pixels, `stride` apart (by default side by side), of B x C x H x W images; each number
---is for both dims or {height, width}. padding adds places that never win, at most half the kernel.
---The result has floor((H + 2 padding - dilation (kernel - 1) - 1) / stride) + 1 rows, channels-last; with
---ceil_mode that is rounded up: a window may reach over the end. Of equal numbers the first gets the
---gradient.
---@param kernel integer|integer[]
---@param stride? integer|integer[]
---@param padding? integer|integer[] default 0
---@param dilation? integer|integer[] default 1
---@param ceil_mode? boolean default false
---@return equi.Tensor y
function tensor:max_pool2d(kernel, stride, padding, dilation, ceil_mode) end

---The larger of x and y; NaN if either is. Ties share the gradient.
---@param x equi.Tensor|number
---@param y equi.Tensor|number
---@return equi.Tensor z
function equi.maximum(x, y) end

---The larger of x and y; NaN if either is. Ties share the gradient.
---@param y equi.Tensor|number
---@return equi.Tensor z
function tensor:maximum(y) end

---The larger of x and y; NaN if either is. Ties share the gradient.
---@param y equi.Tensor|number
---@return equi.Tensor z
function tensor:maximum_(y) end

---The mean over the dims given, or over all; NaN of nothing. keepdim leaves them with size 1.
---@param x equi.Tensor
---@param dim? integer|integer[]
---@param keepdim? boolean default false
---@return equi.Tensor y
function equi.mean(x, dim, keepdim) end

---The mean over the dims given, or over all; NaN of nothing. keepdim leaves them with size 1.
---@param dim? integer|integer[]
---@param keepdim? boolean default false
---@return equi.Tensor y
function tensor:mean(dim, keepdim) end

---The middle entry of a dim, or of all elements, and its id; of an even number the lower one.
---@param x equi.Tensor
---@param dim? integer
---@param keepdim? boolean default false
---@return equi.Tensor y
---@return equi.Tensor ids
function equi.median(x, dim, keepdim) end

---The middle entry of a dim, or of all elements, and its id; of an even number the lower one.
---@param dim? integer
---@param keepdim? boolean default false
---@return equi.Tensor y
---@return equi.Tensor ids
function tensor:median(dim, keepdim) end

---The smallest elements along one dim and their positions, from 1, the first of equal ones; NaN wins. Without a dim: over all elements, one value
---(equal ones share the gradient). With a dim the gradient goes to the position named.
---@param x equi.Tensor
---@param dim? integer
---@param keepdim? boolean default false
---@return equi.Tensor y
---@return equi.Tensor index
function equi.min(x, dim, keepdim) end

---The smallest elements along one dim and their positions, from 1, the first of equal ones; NaN wins. Without a dim: over all elements, one value
---(equal ones share the gradient). With a dim the gradient goes to the position named.
---@param dim? integer
---@param keepdim? boolean default false
---@return equi.Tensor y
---@return equi.Tensor index
function tensor:min(dim, keepdim) end

---The smaller of x and y; NaN if either is. Ties share the gradient.
---@param x equi.Tensor|number
---@param y equi.Tensor|number
---@return equi.Tensor z
function equi.minimum(x, y) end

---The smaller of x and y; NaN if either is. Ties share the gradient.
---@param y equi.Tensor|number
---@return equi.Tensor z
function tensor:minimum(y) end

---The smaller of x and y; NaN if either is. Ties share the gradient.
---@param y equi.Tensor|number
---@return equi.Tensor z
function tensor:minimum_(y) end

---A view with dims moved to other places, one or a list of them; the rest keeps its order.
---@param x equi.Tensor
---@param from integer|integer[]
---@param to integer|integer[]
---@return equi.Tensor y
function equi.movedim(x, from, to) end

---A view with dims moved to other places, one or a list of them; the rest keeps its order.
---@param from integer|integer[]
---@param to integer|integer[]
---@return equi.Tensor y
function tensor:movedim(from, to) end

---(x - y)^2, averaged (the default), summed, or element by element.
---@param x equi.Tensor
---@param y equi.Tensor
---@param reduction? "mean"|"sum"|"none" default mean
---@return equi.Tensor loss
function equi.mse_loss(x, y, reduction) end

---(x - y)^2, averaged (the default), summed, or element by element.
---@param y equi.Tensor
---@param reduction? "mean"|"sum"|"none" default mean
---@return equi.Tensor loss
function tensor:mse_loss(y, reduction) end

---x * y element by element, broadcast.
---@param x equi.Tensor|number
---@param y equi.Tensor|number
---@return equi.Tensor z
function equi.mul(x, y) end

---x * y element by element, broadcast.
---@param y equi.Tensor|number
---@return equi.Tensor z
function tensor:mul(y) end

---x * y element by element, broadcast.
---@param y equi.Tensor|number
---@return equi.Tensor z
function tensor:mul_(y) end

---A view of `length` entries of a dim from `start` on (from 1; negative counts from the end).
---@param x equi.Tensor
---@param dim integer
---@param start integer
---@param length integer
---@return equi.Tensor y
function equi.narrow(x, dim, start, length) end

---A view of `length` entries of a dim from `start` on (from 1; negative counts from the end).
---@param dim integer
---@param start integer
---@param length integer
---@return equi.Tensor y
function tensor:narrow(dim, start, length) end

---True where x different from y, broadcast; a bool tensor.
---@param x equi.Tensor|number
---@param y equi.Tensor|number
---@return equi.Tensor z
function equi.ne(x, y) end

---True where x different from y, broadcast; a bool tensor.
---@param y equi.Tensor|number
---@return equi.Tensor z
function tensor:ne(y) end

----x.
---@param x equi.Tensor
---@return equi.Tensor y
function equi.neg(x) end

----x.
---@return equi.Tensor y
function tensor:neg() end

----x.
---@return equi.Tensor y
function tensor:neg_() end

----x[target] for log-probabilities x and classes that count from 1, times the class's weight;
---x has the classes in dim 2 (dim 1 if it has one dim only), targets x's shape without it.
---The mean divides by the sum of the weights; positions whose target is ignore_index count 0.
---@param x equi.Tensor
---@param targets equi.Tensor
---@param weight? equi.Tensor
---@param ignore_index? integer
---@param reduction? "mean"|"sum"|"none" default mean
---@return equi.Tensor loss
function equi.nll_loss(x, targets, weight, ignore_index, reduction) end

----x[target] for log-probabilities x and classes that count from 1, times the class's weight;
---x has the classes in dim 2 (dim 1 if it has one dim only), targets x's shape without it.
---The mean divides by the sum of the weights; positions whose target is ignore_index count 0.
---@param targets equi.Tensor
---@param weight? equi.Tensor
---@param ignore_index? integer
---@param reduction? "mean"|"sum"|"none" default mean
---@return equi.Tensor loss
function tensor:nll_loss(targets, weight, ignore_index, reduction) end

---Where x is not zero: one row for each such element with its place in every dim, counted from 1.
---@param x equi.Tensor
---@return equi.Tensor ids
function equi.nonzero(x) end

---Where x is not zero: one row for each such element with its place in every dim, counted from 1.
---@return equi.Tensor ids
function tensor:nonzero() end

---(sum |x|^p)^(1/p) over the dims given, or over all. p = inf: the largest |x|, -inf: the
---smallest, 0: how many are not 0. Where the 2-norm is 0 its gradient is taken as 0.
---@param x equi.Tensor
---@param p? number default 2
---@param dim? integer|integer[]
---@param keepdim? boolean default false
---@return equi.Tensor y
function equi.norm(x, p, dim, keepdim) end

---(sum |x|^p)^(1/p) over the dims given, or over all. p = inf: the largest |x|, -inf: the
---smallest, 0: how many are not 0. Where the 2-norm is 0 its gradient is taken as 0.
---@param p? number default 2
---@param dim? integer|integer[]
---@param keepdim? boolean default false
---@return equi.Tensor y
function tensor:norm(p, dim, keepdim) end

---A new last dim of size `classes` with 1 at the id and 0 elsewhere. By default as many classes as the
---largest id.
---@param ids equi.Tensor
---@param classes? integer
---@param dtype? equi.Dtype default f32
---@return equi.Tensor y
function equi.one_hot(ids, classes, dtype) end

---A new last dim of size `classes` with 1 at the id and 0 elsewhere. By default as many classes as the
---largest id.
---@param classes? integer
---@param dtype? equi.Dtype default f32
---@return equi.Tensor y
function tensor:one_hot(classes, dtype) end

---All products x[i] y[j] of two vectors: a matrix.
---@param x equi.Tensor
---@param y equi.Tensor
---@return equi.Tensor z
function equi.outer(x, y) end

---All products x[i] y[j] of two vectors: a matrix.
---@param y equi.Tensor
---@return equi.Tensor z
function tensor:outer(y) end

---x with a border. pads are pairs (before, after) as PyTorch orders them: the LAST dim's pair first, then
---the dim before it, and so on; negative numbers cut. The border is `value`, or x mirrored without its edge
---(reflect), its edge (replicate), or its other side (circular). Images keep their layout.
---@param x equi.Tensor
---@param pads integer|integer[]
---@param mode? "constant"|"reflect"|"replicate"|"circular" default constant
---@param value? number default 0
---@return equi.Tensor y
function equi.pad(x, pads, mode, value) end

---x with a border. pads are pairs (before, after) as PyTorch orders them: the LAST dim's pair first, then
---the dim before it, and so on; negative numbers cut. The border is `value`, or x mirrored without its edge
---(reflect), its edge (replicate), or its other side (circular). Images keep their layout.
---@param pads integer|integer[]
---@param mode? "constant"|"reflect"|"replicate"|"circular" default constant
---@param value? number default 0
---@return equi.Tensor y
function tensor:pad(pads, mode, value) end

---A view with the dims in the order given.
---@param x equi.Tensor
---@param dims integer|integer[]
---@return equi.Tensor y
function equi.permute(x, dims) end

---A view with the dims in the order given.
---@param dims integer|integer[]
---@return equi.Tensor y
function tensor:permute(dims) end

---x to the power y. The derivative in y is 0 where x is 0.
---@param x equi.Tensor|number
---@param y equi.Tensor|number
---@return equi.Tensor z
function equi.pow(x, y) end

---x to the power y. The derivative in y is 0 where x is 0.
---@param y equi.Tensor|number
---@return equi.Tensor z
function tensor:pow(y) end

---x to the power y. The derivative in y is 0 where x is 0.
---@param y equi.Tensor|number
---@return equi.Tensor z
function tensor:pow_(y) end

---The product over the dims given, or over all; f32, f64 and i64, which wraps. The second
---derivative is NaN where x is 0.
---@param x equi.Tensor
---@param dim? integer|integer[]
---@param keepdim? boolean default false
---@return equi.Tensor y
function equi.prod(x, dim, keepdim) end

---The product over the dims given, or over all; f32, f64 and i64, which wraps. The second
---derivative is NaN where x is 0.
---@param dim? integer|integer[]
---@param keepdim? boolean default false
---@return equi.Tensor y
function tensor:prod(dim, keepdim) end

---a = Q R with orthonormal columns of Q (m x min) and R upper triangular (min x n). The gradient needs
---at least as many rows as columns.
---@param a equi.Tensor
---@return equi.Tensor q
---@return equi.Tensor r
function equi.qr(a) end

---a = Q R with orthonormal columns of Q (m x min) and R upper triangular (min x n). The gradient needs
---at least as many rows as columns.
---@return equi.Tensor q
---@return equi.Tensor r
function tensor:qr() end

---1 / x.
---@param x equi.Tensor
---@return equi.Tensor y
function equi.reciprocal(x) end

---1 / x.
---@return equi.Tensor y
function tensor:reciprocal() end

---1 / x.
---@return equi.Tensor y
function tensor:reciprocal_() end

---x where positive, else 0.
---@param x equi.Tensor
---@return equi.Tensor y
function equi.relu(x) end

---x where positive, else 0.
---@return equi.Tensor y
function tensor:relu() end

---x where positive, else 0.
---@return equi.Tensor y
function tensor:relu_() end

---x - floor(x / y) * y, as Lua's %: the sign of y.
---@param x equi.Tensor|number
---@param y equi.Tensor|number
---@return equi.Tensor z
function equi.remainder(x, y) end

---x - floor(x / y) * y, as Lua's %: the sign of y.
---@param y equi.Tensor|number
---@return equi.Tensor z
function tensor:remainder(y) end

---x - floor(x / y) * y, as Lua's %: the sign of y.
---@param y equi.Tensor|number
---@return equi.Tensor z
function tensor:remainder_(y) end

---x with another shape and the same elements in row-major order; one size may be -1.
---A view where the strides allow it, else a copy.
---@param x equi.Tensor
---@param sizes integer|integer[]
---@return equi.Tensor y
function equi.reshape(x, sizes) end

---x with another shape and the same elements in row-major order; one size may be -1.
---A view where the strides allow it, else a copy.
---@param sizes integer|integer[]
---@return equi.Tensor y
function tensor:reshape(sizes) end

---One step of RMSprop over all parameters, in place; optim.rmsprop keeps the state.
---@param params equi.Tensor[]
---@param square equi.Tensor[]
---@param buffer? equi.Tensor[]
---@param lr? number default 0.01
---@param alpha? number default 0.99
---@param eps? number default 1e-8
---@param weight_decay? number default 0
---@param momentum? number default 0
function equi.rmsprop_step(params, square, buffer, lr, alpha, eps, weight_decay, momentum) end

---Plain recurrent layer over whole sequences, one direction.
---w_ih [H, D], w_hh [H, H]. h' = tanh(w_ih x + b_ih + w_hh h + b_hh), or relu.
---x [B, T, D], states [B, H] (absent: zeros), biases optional. y [B, T, H] holds every step's h,
---h_n [B, H] the last. lengths [B] (i64): steps of each row; y is 0 after them and h_n is the
---state there. reverse reads each row from its last valid step to the first. Gate order, formulas
---and weights are PyTorch's. Errors: sizes that do not fit; a length above T.
---@param x equi.Tensor
---@param h0? equi.Tensor
---@param w_ih equi.Tensor
---@param w_hh equi.Tensor
---@param b_ih? equi.Tensor
---@param b_hh? equi.Tensor
---@param lengths? equi.Tensor
---@param reverse? boolean default false
---@param nonlinearity? "tanh"|"relu" default tanh
---@return equi.Tensor y
---@return equi.Tensor h_n
function equi.rnn(x, h0, w_ih, w_hh, b_ih, b_hh, lengths, reverse, nonlinearity) end

---One step of `rnn`: x [B, D] and the state h [B, H] (absent: zeros) give the next one.
---@param x equi.Tensor
---@param h? equi.Tensor
---@param w_ih equi.Tensor
---@param w_hh equi.Tensor
---@param b_ih? equi.Tensor
---@param b_hh? equi.Tensor
---@param nonlinearity? "tanh"|"relu" default tanh
---@return equi.Tensor h_n
function equi.rnn_cell(x, h, w_ih, w_hh, b_ih, b_hh, nonlinearity) end

---x moved by `shifts` places along dims; what leaves one end enters at the other.
---Without dims the elements move in row-major order.
---@param x equi.Tensor
---@param shifts integer|integer[]
---@param dims? integer|integer[]
---@return equi.Tensor y
function equi.roll(x, shifts, dims) end

---x moved by `shifts` places along dims; what leaves one end enters at the other.
---Without dims the elements move in row-major order.
---@param shifts integer|integer[]
---@param dims? integer|integer[]
---@return equi.Tensor y
function tensor:roll(shifts, dims) end

---x turned k quarter turns from the first of two dims towards the second, by default the last two.
---With rows downwards that is counter-clockwise. k may be negative.
---@param x equi.Tensor
---@param k? integer default 1
---@param dims? integer|integer[]
---@return equi.Tensor y
function equi.rot90(x, k, dims) end

---x turned k quarter turns from the first of two dims towards the second, by default the last two.
---With rows downwards that is counter-clockwise. k may be negative.
---@param k? integer default 1
---@param dims? integer|integer[]
---@return equi.Tensor y
function tensor:rot90(k, dims) end

---The images in the last two dims turned about their centre, counter-clockwise as rot90, sizes kept.
---The result is approximate: each pixel is interpolated (bilinear) between four of x, outside of
---which all is 0, so turning back does not give x again. Multiples of 90 degrees are exact: rot90.
---A quarter turn of an image that is not square cuts what overhangs.
---@param x equi.Tensor
---@param degrees number
---@return equi.Tensor y
function equi.rotate(x, degrees) end

---The images in the last two dims turned about their centre, counter-clockwise as rot90, sizes kept.
---The result is approximate: each pixel is interpolated (bilinear) between four of x, outside of
---which all is 0, so turning back does not give x again. Multiples of 90 degrees are exact: rot90.
---A quarter turn of an image that is not square cuts what overhangs.
---@param degrees number
---@return equi.Tensor y
function tensor:rotate(degrees) end

---Nearest whole number, halves to the even one; derivative 0.
---@param x equi.Tensor
---@return equi.Tensor y
function equi.round(x) end

---Nearest whole number, halves to the even one; derivative 0.
---@return equi.Tensor y
function tensor:round() end

---Nearest whole number, halves to the even one; derivative 0.
---@return equi.Tensor y
function tensor:round_() end

---1 / sqrt(x).
---@param x equi.Tensor
---@return equi.Tensor y
function equi.rsqrt(x) end

---1 / sqrt(x).
---@return equi.Tensor y
function tensor:rsqrt() end

---1 / sqrt(x).
---@return equi.Tensor y
function tensor:rsqrt_() end

---One token for each row of logits [B, V], picked by rank: what the filters leave is ordered by
---falling probability, and uniform [B], from 0 to below 1, says how far down the sum one goes.
---Filters in the order of Hugging Face: penalty on the ids in seen [B, L] (0: none), temperature
---(0: the most likely token), top_k (0: all), top_p, typical (Meister et al. 2023). Equally likely
---tokens stay or go together, so that renaming tokens renames the pick. logp is the log-probability
---of the pick under the logits as they came.
---@param logits equi.Tensor
---@param uniform equi.Tensor
---@param seen? equi.Tensor
---@param temperature? number default 1
---@param top_k? integer default 0
---@param top_p? number default 1
---@param typical? number default 1
---@param penalty? number default 1
---@return equi.Tensor ids
---@return equi.Tensor logp
function equi.sample(logits, uniform, seen, temperature, top_k, top_p, typical, penalty) end

---softmax(scale q k' + mask) v: q [B, H, T, D], k and v [B, H, S, D] give [B, H, T, D].
---forbidden, which broadcasts to [B, H, T, S], is true where a query must not look; causal forbids
---keys behind a query, the last query sees the last key. A query that sees nothing gets 0. scale is
---1 / sqrt(D) unless given. The T x S weights are never in memory as a whole. Vaswani et al. 2017,
---equation 1.
---@param q equi.Tensor
---@param k equi.Tensor
---@param v equi.Tensor
---@param forbidden? equi.Tensor
---@param causal? boolean default false
---@param scale? number
---@return equi.Tensor y
function equi.scaled_dot_product_attention(q, k, v, forbidden, causal, scale) end

---x with src written where ids say, the inverse of gather; for dim 2: y[i][ids[i][j]] = src[i][j].
---src has the shape of ids or is a number. Of several values for one place the last stays.
---@param x equi.Tensor
---@param dim integer
---@param ids equi.Tensor
---@param src equi.Tensor|number
---@return equi.Tensor y
function equi.scatter(x, dim, ids, src) end

---x with src written where ids say, the inverse of gather; for dim 2: y[i][ids[i][j]] = src[i][j].
---src has the shape of ids or is a number. Of several values for one place the last stays.
---@param dim integer
---@param ids equi.Tensor
---@param src equi.Tensor|number
---@return equi.Tensor y
function tensor:scatter(dim, ids, src) end

---x with src written where ids say, the inverse of gather; for dim 2: y[i][ids[i][j]] = src[i][j].
---src has the shape of ids or is a number. Of several values for one place the last stays.
---@param dim integer
---@param ids equi.Tensor
---@param src equi.Tensor|number
---@return equi.Tensor y
function tensor:scatter_(dim, ids, src) end

---As scatter, but src is added to x; places named twice get both, in order.
---@param x equi.Tensor
---@param dim integer
---@param ids equi.Tensor
---@param src equi.Tensor|number
---@return equi.Tensor y
function equi.scatter_add(x, dim, ids, src) end

---As scatter, but src is added to x; places named twice get both, in order.
---@param dim integer
---@param ids equi.Tensor
---@param src equi.Tensor|number
---@return equi.Tensor y
function tensor:scatter_add(dim, ids, src) end

---As scatter, but src is added to x; places named twice get both, in order.
---@param dim integer
---@param ids equi.Tensor
---@param src equi.Tensor|number
---@return equi.Tensor y
function tensor:scatter_add_(dim, ids, src) end

---Negative log-likelihood of target sequences, up to where the model itself ends.
---logp [B, L, V], targets and tokens [B, L], lengths [B], all ids i64 from 1. Row b is summed up
---to its length, its first target 0 (padding) or the step at which tokens first says eos, this
---step included. reduction: sum gives one number, none the loss of each row [B].
---Errors: a target outside the vocabulary; a length above L. Gordon et al., ICLR 2020.
---@param logp equi.Tensor
---@param targets equi.Tensor
---@param tokens? equi.Tensor
---@param lengths? equi.Tensor
---@param eos? integer default 2
---@param reduction? "sum"|"none" default sum
---@return equi.Tensor loss
function equi.sequence_nll(logp, targets, tokens, lengths, eos, reduction) end

---One step of SGD over all parameters, in place; optim.sgd keeps the state.
---@param params equi.Tensor[]
---@param velocity? equi.Tensor[]
---@param empty? equi.Tensor[]
---@param lr? number default 0.001
---@param momentum? number default 0
---@param dampening? number default 0
---@param weight_decay? number default 0
---@param nesterov? boolean default false
---@param first? boolean default false
function equi.sgd_step(params, velocity, empty, lr, momentum, dampening, weight_decay, nesterov, first) end

---1 / (1 + exp(-x)).
---@param x equi.Tensor
---@return equi.Tensor y
function equi.sigmoid(x) end

---1 / (1 + exp(-x)).
---@return equi.Tensor y
function tensor:sigmoid() end

---1 / (1 + exp(-x)).
---@return equi.Tensor y
function tensor:sigmoid_() end

----1, 0 or 1; derivative 0.
---@param x equi.Tensor
---@return equi.Tensor y
function equi.sign(x) end

----1, 0 or 1; derivative 0.
---@return equi.Tensor y
function tensor:sign() end

----1, 0 or 1; derivative 0.
---@return equi.Tensor y
function tensor:sign_() end

---x * sigmoid(x), also called swish.
---@param x equi.Tensor
---@return equi.Tensor y
function equi.silu(x) end

---x * sigmoid(x), also called swish.
---@return equi.Tensor y
function tensor:silu() end

---x * sigmoid(x), also called swish.
---@return equi.Tensor y
function tensor:silu_() end

---Sine of x in radians.
---@param x equi.Tensor
---@return equi.Tensor y
function equi.sin(x) end

---Sine of x in radians.
---@return equi.Tensor y
function tensor:sin() end

---Sine of x in radians.
---@return equi.Tensor y
function tensor:sin_() end

---Hyperbolic sine.
---@param x equi.Tensor
---@return equi.Tensor y
function equi.sinh(x) end

---Hyperbolic sine.
---@return equi.Tensor y
function tensor:sinh() end

---Hyperbolic sine.
---@return equi.Tensor y
function tensor:sinh_() end

---Sign (-1, 0, 1) and logarithm of the absolute value of the determinant, which does not overflow.
---@param a equi.Tensor
---@return equi.Tensor sign
---@return equi.Tensor logabsdet
function equi.slogdet(a) end

---Sign (-1, 0, 1) and logarithm of the absolute value of the determinant, which does not overflow.
---@return equi.Tensor sign
---@return equi.Tensor logabsdet
function tensor:slogdet() end

---d^2 / (2 beta) where d = |x - y| is below beta, else d - beta / 2.
---@param x equi.Tensor
---@param y equi.Tensor
---@param beta? number default 1
---@param reduction? "mean"|"sum"|"none" default mean
---@return equi.Tensor loss
function equi.smooth_l1_loss(x, y, beta, reduction) end

---d^2 / (2 beta) where d = |x - y| is below beta, else d - beta / 2.
---@param y equi.Tensor
---@param beta? number default 1
---@param reduction? "mean"|"sum"|"none" default mean
---@return equi.Tensor loss
function tensor:smooth_l1_loss(y, beta, reduction) end

---exp(x) divided by its sum over one dim, by default the last: numbers from 0 to 1 that add up to 1.
---The largest element is subtracted first, so nothing overflows.
---@param x equi.Tensor
---@param dim? integer default -1
---@return equi.Tensor y
function equi.softmax(x, dim) end

---exp(x) divided by its sum over one dim, by default the last: numbers from 0 to 1 that add up to 1.
---The largest element is subtracted first, so nothing overflows.
---@param dim? integer default -1
---@return equi.Tensor y
function tensor:softmax(dim) end

---log(1 + exp(beta x)) / beta, a smooth relu; nothing overflows.
---@param x equi.Tensor
---@param beta? number default 1
---@return equi.Tensor y
function equi.softplus(x, beta) end

---log(1 + exp(beta x)) / beta, a smooth relu; nothing overflows.
---@param beta? number default 1
---@return equi.Tensor y
function tensor:softplus(beta) end

---log(1 + exp(beta x)) / beta, a smooth relu; nothing overflows.
---@param beta? number default 1
---@return equi.Tensor y
function tensor:softplus_(beta) end

---The x with a x = b, for square matrices a; b of .. x n x k, or .. x n. Batch dims broadcast.
---A singular a is an error.
---@param a equi.Tensor
---@param b equi.Tensor
---@return equi.Tensor x
function equi.solve(a, b) end

---The x with a x = b, for square matrices a; b of .. x n x k, or .. x n. Batch dims broadcast.
---A singular a is an error.
---@param b equi.Tensor
---@return equi.Tensor x
function tensor:solve(b) end

---A dim in order, and where (from 1) each element stood. Equal elements keep their order. NaN is larger
---than every number.
---@param x equi.Tensor
---@param dim? integer default -1
---@param descending? boolean default false
---@return equi.Tensor y
---@return equi.Tensor ids
function equi.sort(x, dim, descending) end

---A dim in order, and where (from 1) each element stood. Equal elements keep their order. NaN is larger
---than every number.
---@param dim? integer default -1
---@param descending? boolean default false
---@return equi.Tensor y
---@return equi.Tensor ids
function tensor:sort(dim, descending) end

---Square root; NaN below 0.
---@param x equi.Tensor
---@return equi.Tensor y
function equi.sqrt(x) end

---Square root; NaN below 0.
---@return equi.Tensor y
function tensor:sqrt() end

---Square root; NaN below 0.
---@return equi.Tensor y
function tensor:sqrt_() end

---x * x.
---@param x equi.Tensor
---@return equi.Tensor y
function equi.square(x) end

---x * x.
---@return equi.Tensor y
function tensor:square() end

---x * x.
---@return equi.Tensor y
function tensor:square_() end

---x without its dims of size 1, or without those of the given dims that have size 1.
---@param x equi.Tensor
---@param dims? integer|integer[]
---@return equi.Tensor y
function equi.squeeze(x, dims) end

---x without its dims of size 1, or without those of the given dims that have size 1.
---@param dims? integer|integer[]
---@return equi.Tensor y
function tensor:squeeze(dims) end

---The tensors of a list, all of one shape, side by side along a new dim.
---@param xs equi.Tensor[]
---@param dim? integer default 1
---@return equi.Tensor y
function equi.stack(xs, dim) end

---The standard deviation, the root of var. Where it is 0 its gradient is taken as 0.
---@param x equi.Tensor
---@param dim? integer|integer[]
---@param correction? number default 1
---@param keepdim? boolean default false
---@return equi.Tensor y
function equi.std(x, dim, correction, keepdim) end

---The standard deviation, the root of var. Where it is 0 its gradient is taken as 0.
---@param dim? integer|integer[]
---@param correction? number default 1
---@param keepdim? boolean default false
---@return equi.Tensor y
function tensor:std(dim, correction, keepdim) end

---value forward, the gradient of x backward (Bengio et al. 2013): a choice that has no
---gradient learns through x. Both of one shape and dtype.
---@param x equi.Tensor
---@param value equi.Tensor
---@return equi.Tensor y
function equi.straight_through(x, value) end

---x - y, broadcast.
---@param x equi.Tensor|number
---@param y equi.Tensor|number
---@return equi.Tensor z
function equi.sub(x, y) end

---x - y, broadcast.
---@param y equi.Tensor|number
---@return equi.Tensor z
function tensor:sub(y) end

---x - y, broadcast.
---@param y equi.Tensor|number
---@return equi.Tensor z
function tensor:sub_(y) end

---Sum over the dims given, or over all. keepdim leaves them with size 1.
---f32, f64 and i64.
---@param x equi.Tensor
---@param dim? integer|integer[]
---@param keepdim? boolean default false
---@return equi.Tensor y
function equi.sum(x, dim, keepdim) end

---Sum over the dims given, or over all. keepdim leaves them with size 1.
---f32, f64 and i64.
---@param dim? integer|integer[]
---@param keepdim? boolean default false
---@return equi.Tensor y
function tensor:sum(dim, keepdim) end

---a = U diag(s) Vh with s in descending order; u is m x min, vh is min x n. Gradients of u and vh need
---different singular values, none of them 0.
---@param a equi.Tensor
---@return equi.Tensor u
---@return equi.Tensor s
---@return equi.Tensor vh
function equi.svd(a) end

---a = U diag(s) Vh with s in descending order; u is m x min, vh is min x n. Gradients of u and vh need
---different singular values, none of them 0.
---@return equi.Tensor u
---@return equi.Tensor s
---@return equi.Tensor vh
function tensor:svd() end

---The transposed matrix, a view; vectors stay as they are.
---@param x equi.Tensor
---@return equi.Tensor y
function equi.t(x) end

---The transposed matrix, a view; vectors stay as they are.
---@return equi.Tensor y
function tensor:t() end

---Elements of x by their place in row-major order, counted from 1. The result has the shape of ids.
---@param x equi.Tensor
---@param ids equi.Tensor
---@return equi.Tensor y
function equi.take(x, ids) end

---Elements of x by their place in row-major order, counted from 1. The result has the shape of ids.
---@param ids equi.Tensor
---@return equi.Tensor y
function tensor:take(ids) end

---Tangent of x in radians.
---@param x equi.Tensor
---@return equi.Tensor y
function equi.tan(x) end

---Tangent of x in radians.
---@return equi.Tensor y
function tensor:tan() end

---Tangent of x in radians.
---@return equi.Tensor y
function tensor:tan_() end

---Hyperbolic tangent.
---@param x equi.Tensor
---@return equi.Tensor y
function equi.tanh(x) end

---Hyperbolic tangent.
---@return equi.Tensor y
function tensor:tanh() end

---Hyperbolic tangent.
---@return equi.Tensor y
function tensor:tanh_() end

---x where above threshold, else value.
---@param x equi.Tensor
---@param threshold number
---@param value number
---@return equi.Tensor y
function equi.threshold(x, threshold, value) end

---x where above threshold, else value.
---@param threshold number
---@param value number
---@return equi.Tensor y
function tensor:threshold(threshold, value) end

---x where above threshold, else value.
---@param threshold number
---@param value number
---@return equi.Tensor y
function tensor:threshold_(threshold, value) end

---Copies of x side by side, times[d] along dim d; more numbers than dims add dims in front.
---PyTorch's `repeat`, which is a reserved word in Lua.
---@param x equi.Tensor
---@param times integer|integer[]
---@return equi.Tensor y
function equi.tile(x, times) end

---Copies of x side by side, times[d] along dim d; more numbers than dims add dims in front.
---PyTorch's `repeat`, which is a reserved word in Lua.
---@param times integer|integer[]
---@return equi.Tensor y
function tensor:tile(times) end

---A copy in another dtype. Floats to i64 and u8 lose the fraction; to bool: not zero.
---@param x equi.Tensor
---@param dtype equi.Dtype
---@return equi.Tensor y
function equi.to(x, dtype) end

---A copy in another dtype. Floats to i64 and u8 lose the fraction; to bool: not zero.
---@param dtype equi.Dtype
---@return equi.Tensor y
function tensor:to(dtype) end

---The k largest (or smallest) entries of a dim in order, and their ids.
---@param x equi.Tensor
---@param k integer
---@param dim? integer default -1
---@param largest? boolean default true
---@return equi.Tensor y
---@return equi.Tensor ids
function equi.topk(x, k, dim, largest) end

---The k largest (or smallest) entries of a dim in order, and their ids.
---@param k integer
---@param dim? integer default -1
---@param largest? boolean default true
---@return equi.Tensor y
---@return equi.Tensor ids
function tensor:topk(k, dim, largest) end

---The logits [M, V] of one token for each of M rows, at most 8: x [M, D] goes through a stack of
---pre-norm transformer blocks, whose keys and values, [M, heads, capacity, D / heads] a block, hold
---`length` places and get one more, in place. models/gpt2.lua's step calls this.
---weights lists for every block, an empty tensor where there is none: norm, its bias, then for each
---of the matrices qkv, projection, norm again (two tensors), widening, narrowing: the matrix, its
---scales and its bias; at the end norm, bias, head and the head's scales. Matrices are f32 [in, out]
---(the head [V, D]) or of compress_weights. mask [M, length + 1] is true for places that count; by_layer
---divides scale by the block's number.
---@param x equi.Tensor
---@param weights equi.Tensor[]
---@param keys equi.Tensor[]
---@param values equi.Tensor[]
---@param mask? equi.Tensor
---@param length integer
---@param heads integer
---@param eps? number default 1e-5
---@param scale? number default 1
---@param activation? "gelu_tanh"|"gelu"|"relu"|"silu"|"tanh" default gelu_tanh
---@param by_layer? boolean default false
---@return equi.Tensor logits
function equi.transformer_step(x, weights, keys, values, mask, length, heads, eps, scale, activation, by_layer) end

---A view with two dims exchanged, by default the last two.
---@param x equi.Tensor
---@param dim1? integer default -2
---@param dim2? integer default -1
---@return equi.Tensor y
function equi.transpose(x, dim1, dim2) end

---A view with two dims exchanged, by default the last two.
---@param dim1? integer default -2
---@param dim2? integer default -1
---@return equi.Tensor y
function tensor:transpose(dim1, dim2) end

---The lower triangle of the last two dims, zeros above. offset 1 keeps one diagonal more.
---@param x equi.Tensor
---@param offset? integer default 0
---@return equi.Tensor y
function equi.tril(x, offset) end

---The lower triangle of the last two dims, zeros above. offset 1 keeps one diagonal more.
---@param offset? integer default 0
---@return equi.Tensor y
function tensor:tril(offset) end

---The lower triangle of the last two dims, zeros above. offset 1 keeps one diagonal more.
---@param offset? integer default 0
---@return equi.Tensor y
function tensor:tril_(offset) end

---The upper triangle of the last two dims, zeros below. offset 1 keeps one diagonal less.
---@param x equi.Tensor
---@param offset? integer default 0
---@return equi.Tensor y
function equi.triu(x, offset) end

---The upper triangle of the last two dims, zeros below. offset 1 keeps one diagonal less.
---@param offset? integer default 0
---@return equi.Tensor y
function tensor:triu(offset) end

---The upper triangle of the last two dims, zeros below. offset 1 keeps one diagonal less.
---@param offset? integer default 0
---@return equi.Tensor y
function tensor:triu_(offset) end

---One dim as several, whose sizes multiply to its size; one may be -1.
---@param x equi.Tensor
---@param dim integer
---@param sizes integer|integer[]
---@return equi.Tensor y
function equi.unflatten(x, dim, sizes) end

---One dim as several, whose sizes multiply to its size; one may be -1.
---@param dim integer
---@param sizes integer|integer[]
---@return equi.Tensor y
function tensor:unflatten(dim, sizes) end

---The different values of x in order; for every element of x the place of its value among them (from 1);
---how often each occurs.
---@param x equi.Tensor
---@return equi.Tensor y
---@return equi.Tensor inverse
---@return equi.Tensor counts
function equi.unique(x) end

---The different values of x in order; for every element of x the place of its value among them (from 1);
---how often each occurs.
---@return equi.Tensor y
---@return equi.Tensor inverse
---@return equi.Tensor counts
function tensor:unique() end

---x with a new dim of size 1 at place dim.
---@param x equi.Tensor
---@param dim integer
---@return equi.Tensor y
function equi.unsqueeze(x, dim) end

---x with a new dim of size 1 at place dim.
---@param dim integer
---@return equi.Tensor y
function tensor:unsqueeze(dim) end

---Images of another size: x is B x C x H x W, the result has the size given ({height, width}, or one
---number for both), or scale times that of x, rounded down. nearest repeats pixels, bilinear goes
---straight from one to the next. As PyTorch's interpolate: with align_corners the corner pixels of
---both lie on each other, else the outer edges; sizes may shrink, but nothing is averaged.
---@param x equi.Tensor
---@param size? integer|integer[]
---@param scale? number
---@param mode? "nearest"|"bilinear" default nearest
---@param align_corners? boolean default false
---@return equi.Tensor y
function equi.upsample(x, size, scale, mode, align_corners) end

---Images of another size: x is B x C x H x W, the result has the size given ({height, width}, or one
---number for both), or scale times that of x, rounded down. nearest repeats pixels, bilinear goes
---straight from one to the next. As PyTorch's interpolate: with align_corners the corner pixels of
---both lie on each other, else the outer edges; sizes may shrink, but nothing is averaged.
---@param size? integer|integer[]
---@param scale? number
---@param mode? "nearest"|"bilinear" default nearest
---@param align_corners? boolean default false
---@return equi.Tensor y
function tensor:upsample(size, scale, mode, align_corners) end

---The variance over the dims given, or over all: the sum of (x - mean)^2 divided by n - correction.
---@param x equi.Tensor
---@param dim? integer|integer[]
---@param correction? number default 1
---@param keepdim? boolean default false
---@return equi.Tensor y
function equi.var(x, dim, correction, keepdim) end

---The variance over the dims given, or over all: the sum of (x - mean)^2 divided by n - correction.
---@param dim? integer|integer[]
---@param correction? number default 1
---@param keepdim? boolean default false
---@return equi.Tensor y
function tensor:var(dim, correction, keepdim) end

---x where cond is true, else y; all three broadcast. cond is bool or u8.
---@param cond equi.Tensor
---@param x equi.Tensor|number
---@param y equi.Tensor|number
---@return equi.Tensor z
function equi.where(cond, x, y) end

---list -> action
---
---Actions of one group on one tensor, the last one first; they must commute. Feature maps of a
---group convolution move so: the grid turns and the channels permute.
---@param ... any
---@return any ...
function equi.action.chain(...) end

---group, {dims={-2, -1}, generators} -> action
---
---Turns and flips a grid of pixels, exactly. generators names the move of each generator:
---identity rot90 rot180 rot270 hflip vflip transpose antitranspose; by default rot90 for
---cyclic(4), rot90 hflip for dihedral(4), hflip for cyclic(2), hflip vflip for klein. Turns are
---counterclockwise; quarter turns need a square.
---@param ... any
---@return any ...
function equi.action.grid(...) end

---group, matrices, {dim=-1} -> action
---
---Multiplies along a dim, y[.., i, ..] = sum_j M[i][j] x[.., j, ..]. One matrix (rows, or a 2-D
---tensor) per generator or per element, a homomorphism within 1e-6; none when the group
---consists of matrices itself. exact is false when the deviation passes 1e-12.
---@param ... any
---@return any ...
function equi.action.matrices(...) end

---group, permutations, {dim=-1} -> action
---
---Permutes the positions of a dim: the permutation of g sends position i to entry i.
---One permutation per generator (extended to the group and verified) or one per element;
---none when the group consists of permutations itself.
---@param ... any
---@return any ...
function equi.action.permutation(...) end

---a, b, ... -> action
---
---The action of the product of the groups: (g, h) x = a(g, b(h, x)); a * b is the same. The
---parts must commute.
---@param ... any
---@return any ...
function equi.action.product(...) end

---group, {dim=-1} -> action
---
---The regular representation: dim has one position per element, g sends that of h to that of
---g * h.
---@param ... any
---@return any ...
function equi.action.regular(...) end

---list -> action
---
---The direct sum: the parts move consecutive blocks of positions along one dim.
---@param ... any
---@return any ...
function equi.action.sum(...) end

---group, {dim=-1, size} -> action
---
---Every element leaves tensors as they are; with a size it can be part of a sum.
---@param ... any
---@return any ...
function equi.action.trivial(...) end

---list -> action
---
---Actions of one group on a list of tensors: act(g, {x, y}) is {a(g, x), b(g, y)}.
---@param ... any
---@return any ...
function equi.action.tuple(...) end

---group, {size, words, generators, swaps, what="ids", dim=-1} -> action
---
---Maps the tokens of a vocabulary. what = "ids" moves the values of i64 tensors, "logits" the
---positions of a dim. Give the size or the list of words. generators holds one map per
---generator: a list of cycles of ids or words, the list of all images, or a table {from = to};
---what is not named stays, and so does 0 (padding). swaps = cycles is short for generators = {cycles}. A map that is no
---bijection is refused, naming the words.
---@param ... any
---@return any ...
function equi.action.vocabulary(...) end

---x -> tensor
---
---g x for every g, stacked on a new first dim.
---@param ... any
---@return any ...
function action:orbit(...) end

---subgroup -> action
---
---The same moves by the elements of a subgroup only.
---@param ... any
---@return any ...
function action:restrict(...) end

---x -> true
---
---Checks on all pairs that g (h x) = (g h) x and that the identity moves nothing, on x or a
---random tensor; raises with the pair that fails.
---@param ... any
---@return any ...
function action:verify(...) end

---[first=1,] last, step=1, {dtype=} -> x
---
---Numbers from first to last, both included. i64 when all arguments are whole numbers.
---@param ... any
---@return any ...
function equi.arange(...) end

---() -> table
---
---The backends in use, in the order of loading: {name =, ops = {the ops it replaces}, calls = how often its kernels ran, where it counts}.
---@param ... any
---@return any ...
function equi.backend.list(...) end

---name or path -> name
---
---Puts the kernels of a backend in place of the portable ones, and returns its name.
---A name is looked for where Lua finds lua_equi's own library; a path names the .so file. Where two backends replace one op, the one loaded last counts; loading one again changes nothing. Raises when there is no such library, it is no backend or it was made for another version.
---@param ... any
---@return any ...
function equi.backend.load(...) end

---() ->
---
---Goes back to the portable kernels.
---@param ... any
---@return any ...
function equi.backend.reset(...) end

---y, gy=nil, {retain=, create_graph=}
---
---Sends the gradient from y back to every leaf x that requires one, adding to x.grad.
---y must be a single number unless gy, the gradient to start with, is given. The graph is released on the
---way; retain = true keeps it, create_graph = true records the pass itself for second derivatives.
---@param ... any
---@return any ...
function tensor:backward(...) end

---p, {generator=} -> x
---
---1 with the probability that p, a tensor, says, else 0; p's shape and dtype.
---@param ... any
---@return any ...
function equi.bernoulli(...) end

---x, p=0.5, {generator=} -> x
---
---Fills x with 1, with probability p, and 0.
---@param ... any
---@return any ...
function tensor:bernoulli_(...) end

---() -> seconds
---
---Seconds since some fixed moment; does not jump when the time is set.
---@param ... any
---@return any ...
function equi.clock(...) end

---name=nil -> old, counts
---
---Which way of computing convolutions is to run: "auto" (the best for each), "exact" (the best that
---computes the sums as they stand: not "winograd", which transforms and rounds otherwise), "lowered" (as a
---matrix product; takes everything), or another that counts names. A path that cannot compute a convolution
---leaves it to the choice of "auto". Returns what was set before, and how often each path ran
---(counts.lowered.forward, .grad_input, .grad_weight).
---@param ... any
---@return any ...
function equi.conv_path(...) end

---x, y -> x
---
---Writes y into x, broadcasting and converting the dtype.
---@param ... any
---@return any ...
function tensor:copy_(...) end

---on=nil -> old
---
---Debug mode: every op is checked for NaN, and messages of the backward pass name the Lua line of the forward call. Slow.
---@param ... any
---@return any ...
function equi.debug(...) end

---dtype=nil -> old
---
---The dtype constructors use: "f32", or "f64".
---@param ... any
---@return any ...
function equi.default_dtype(...) end

---x -> y
---
---A view of x that is cut off from the graph: gradients stop here.
---@param ... any
---@return any ...
function tensor:detach(...) end

---model, {input=, output=, combine=, chunk=, pick=, start=, token=} -> equituned
---
---Makes any model equivariant: M_G(x) = 1/|G| sum over g of g^-1 M(g x) (Basu et al., AAAI 2023,
---equation 3). The model is anything that can be called with tensors whose first dim is the batch;
---the orbit is stacked along it.
---input: the action on the first argument, or a list for several (false: repeated, not moved).
---Later arguments are handed on as they are; arguments after the first moved one may be nil.
---output: the action on the result, or a list for several results; absent: the result is invariant.
---combine: equi.combine.mean (default), best, weighted or relaxed.
---chunk: elements per call of the model, to bound memory (default: all). Values do not change.
---pick: function of the inputs that returns, for each row, the number of the element h(x) with
---h(g x) = g h(x); the result is h(x) M(h(x)^-1 x), one pass of the model (Kaba et al. 2023).
---With [B, F] numbers the F results are averaged (frames, Puny et al. 2022).
---start, token: actions for models with state, see equituned:start.
---The result is called like the model. It has the methods of modules (parameters, train, state_dict,
---to, clone, ...) and the fields model, group, order, input, output, combine (nil: mean), pick, chunk
---and exact.
---@param ... any
---@return any ...
function equi.equitune(...) end

---... -> state
---
---Calls the model's start with the orbit of the inputs: the state of all |G| branches at once.
---The actions are those of the option start, or else of input.
---@param ... any
---@return any ...
function equituned:start(...) end

---state, token, ... -> result, state
---
---One step of a model with state: every branch gets its own image of the token [B], the results
---are moved back and combined, so that all branches share one choice. The model's method
---step(state, token, ...) returns its results and the next state. The action on the token is the
---option token, or else that of the first input.
---@param ... any
---@return any ...
function equituned:step(...) end

---n, m=n, {dtype=} -> x
---
---The n x m matrix with ones on the diagonal.
---@param ... any
---@return any ...
function equi.eye(...) end

---x, value -> x
---
---Sets every element of x.
---@param ... any
---@return any ...
function tensor:fill_(...) end

---bytes, {sizes}=nil, {dtype=} -> x
---
---A tensor from a binary string, row-major, in the host's byte order.
---@param ... any
---@return any ...
function equi.frombytes(...) end

---{sizes}, value, {dtype=, requires_grad=} -> x
---
---A tensor filled with one value.
---@param ... any
---@return any ...
function equi.full(...) end

---seed -> g
---
---A stream of random numbers of its own, for {generator = g}. g:state() and g:state(t) save and restore.
---@param ... any
---@return any ...
function equi.generator(...) end

---y, xs, gy=nil, {retain=, create_graph=} -> gx, ...
---
---Gradients of y with respect to the tensors xs, returned instead of stored; nil where y does not depend on one.
---@param ... any
---@return any ...
function equi.grad(...) end

---on=nil -> old
---
---Whether operations are recorded; sets it when given.
---@param ... any
---@return any ...
function equi.grad_enabled(...) end

---n -> group
---
---The even permutations of n things; n is 1 to 7.
---@param ... any
---@return any ...
function equi.group.alternating(...) end

---n -> group
---
---The cyclic group of n elements e r r2 ...: rotations of a regular n-gon.
---n is 1 to 5,040.
---@param ... any
---@return any ...
function equi.group.cyclic(...) end

---n -> group
---
---The symmetries of a regular n-gon: rotations r^k, then reflections s r^k, with s r s = r^-1.
---It has 2n elements; n is 1 to 2,520.
---@param ... any
---@return any ...
function equi.group.dihedral(...) end

---list, {limit=5040} -> group
---
---The group that square matrices generate; entries are equal within 1e-6 of the largest.
---Raises when it does not close within `limit` elements or a matrix has no inverse. Elements
---are named by words (a2b: the first generator twice, then the second).
---@param ... any
---@return any ...
function equi.group.from_matrices(...) end

---list, {limit=5040} -> group
---
---The group that permutations generate. A permutation is a list: entry i is where i goes.
---Raises when there are more than `limit` elements.
---@param ... any
---@return any ...
function equi.group.from_permutations(...) end

---rows -> group
---
---A group from its Cayley table: entry [a][b] is the number of a * b. Every axiom is checked,
---and the message names what fails and where.
---@param ... any
---@return any ...
function equi.group.from_table(...) end

----> group
---
---Klein's four-group e a b ab: two commuting swaps.
---@param ... any
---@return any ...
function equi.group.klein(...) end

---g, h, ... -> group
---
---The direct product; g * h is the same. Elements are tuples, the last factor counts fastest.
---Group.factors lists the factors, element.parts the coordinates.
---@param ... any
---@return any ...
function equi.group.product(...) end

----> group
---
---The quaternion group of order 8: 1 -1 i -i j -j k -k.
---@param ... any
---@return any ...
function equi.group.quaternion(...) end

---n, h, action -> group
---
---Pairs with (n1, h1)(n2, h2) = (n1 h1.n2, h1 h2), where h acts on n by automorphisms.
---action is a function (h, n) -> element of n, or a list that holds for each element of h the
---list of images of the elements of n. Raises when a map is no automorphism or the maps do not
---multiply like h, and says at which elements.
---@param ... any
---@return any ...
function equi.group.semidirect(...) end

---n -> group
---
---All permutations of n things, in lexicographic order, named by their cycles; n is 1 to 7.
---(g * h) sends i to g(h(i)).
---@param ... any
---@return any ...
function equi.group.symmetric(...) end

----> group
---
---The subgroup of the elements that commute with all.
---@param ... any
---@return any ...
function group:center(...) end

----> list of lists
---
---The conjugacy classes.
---@param ... any
---@return any ...
function group:classes(...) end

---element -> boolean
---
---Whether an element lies in the group; elements of a parent or subgroup count.
---@param ... any
---@return any ...
function group:contains(...) end

---subgroup, side="left" -> list of lists
---
---The left cosets gH, or the right ones Hg.
---@param ... any
---@return any ...
function group:cosets(...) end

---what -> element
---
---The element with a name, a number from 1, or (products) a list of parts; g "r" and g[2] are
---short for it. An element of a subgroup or of the parent is carried over.
---@param ... any
---@return any ...
function group:element(...) end

----> list
---
---All elements, in the order of their numbers.
---@param ... any
---@return any ...
function group:elements(...) end

---target, map -> boolean, why
---
---Whether map(a * b) = map(a) * map(b) always. map is a function or the list of images.
---@param ... any
---@return any ...
function group:is_homomorphism(...) end

---of -> boolean
---
---Whether all elements of this group lie in the other.
---@param ... any
---@return any ...
function group:is_subgroup(...) end

----> iterator
---
---For loops over the elements.
---@param ... any
---@return any ...
function group:iter(...) end

---generators -> group
---
---The subgroup that a list of elements generates; its .parent is the group. Elements keep their
---names.
---@param ... any
---@return any ...
function group:subgroup(...) end

----> list
---
---All subgroups by growing order; for groups of up to 200 elements.
---@param ... any
---@return any ...
function group:subgroups(...) end

----> rows
---
---The Cayley table: entry [a][b] is the number of a * b.
---@param ... any
---@return any ...
function group:table(...) end

---() -> hold
---
---Until the result is closed, Ctrl-C raises nothing: hold:pressed() tells of it. A second Ctrl-C acts as it would have before. hold:pause(true) lets Ctrl-C through for a while.
---@param ... any
---@return any ...
function equi.hold_interrupts(...) end

---x, f -> handle
---
---Calls f(g) with the gradient g of x whenever backward passes x; if f returns a tensor, that goes on in its place.
---x may be a leaf or a result. Hooks run in the order they were added; handle:remove() takes one away. f must
---not change g in place. Recording is off in f, except with create_graph; equi.grad_enabled(true) switches it on there. The hook of a result lives as long as the graph does: if f mentions tensors computed from
---x, remove it or run backward, or they keep each other in memory.
---@param ... any
---@return any ...
function tensor:hook(...) end

---x -> boolean
---
---True for x [B, C, H, W] whose channels of a pixel lie next to each other, without gaps.
---@param ... any
---@return any ...
function tensor:is_channels_last(...) end

---x -> boolean
---
---True when the elements lie in row-major order without gaps.
---@param ... any
---@return any ...
function tensor:is_contiguous(...) end

---v -> boolean
---
---True when v is a tensor.
---@param ... any
---@return any ...
function equi.is_tensor(...) end

---x -> number
---
---The only element of x as a Lua value. Raises if there are more.
---@param ... any
---@return any ...
function tensor:item(...) end

---first, last, count, {dtype=} -> x
---
---count numbers evenly spaced, ends included.
---@param ... any
---@return any ...
function equi.linspace(...) end

---path, {copy = false} -> mapping | nil, message
---
---A file mapped into memory. #m is its size, m:bytes(offset, count) a string, and m:tensor("F32", {sizes}, offset) the tensor stored there (types as in safetensors; no copy when dtype and alignment allow). m:view(x, {sizes}, {strides}, start) looks at elements of such a tensor x, m:inflate(offset, count, size, crc32) is a mapping of deflated bytes. Offsets count from 0. Changing such a tensor leaves the file as it is. While tensors of it live, nobody may shorten the file (replacing or removing it is fine): the system ends a process that touches the lost part (SIGBUS). copy = true reads the file instead.
---@param ... any
---@return any ...
function equi.map(...) end

---verb or {soft_limit=, cache_limit=} -> table
---
---Bytes in use by tensors: live, peak, cached and limits. "trim" collects and gives cached blocks back, "collect" only collects, "reset_peak" restarts the peak. Until cache_limit is set it
---is 1 GiB or three quarters of the peak, whichever is more.
---@param ... any
---@return any ...
function equi.memory(...) end

---weights, draws, {generator=, replacement=false} -> ids
---
---Draws from 1 .. C with probabilities proportional to weights of .. x C, which need not sum to 1; i64 of .. x draws.
---Without replacement no id comes twice.
---@param ... any
---@return any ...
function equi.multinomial(...) end

---f, ... -> f(...)
---
---Calls f without recording, and returns its results. f cannot yield to another coroutine.
---@param ... any
---@return any ...
function equi.no_grad(...) end

---x, mean=0, std=1, {generator=} -> x
---
---Fills x with normally distributed numbers.
---@param ... any
---@return any ...
function tensor:normal_(...) end

---x -> n
---
---Number of elements.
---@param ... any
---@return any ...
function tensor:numel(...) end

---sizes..., {dtype=, requires_grad=} -> x
---
---A tensor of ones.
---@param ... any
---@return any ...
function equi.ones(...) end

---{name=, forward=, backward=} -> f
---
---Declares a differentiable function. f(a, b, ...) calls forward(a, b, ...) without recording; forward returns one or
---more tensors. Backward calls backward(gy, y, a, b, ...), with all gradients first if there are several
---results, then all results; it returns one gradient for each argument, nil where there is none. Arguments that are
---no tensors are passed on. With create_graph the rule itself is recorded. Declare an op once, not in a loop: the functions
---stay in memory as long as a graph uses them.
---@param ... any
---@return any ...
function equi.op(...) end

---n, {generator=} -> x
---
---The numbers 1 to n in random order; i64.
---@param ... any
---@return any ...
function equi.permutation(...) end

---{precision=, edge=, threshold=}=nil -> table
---
---How tensors are printed: digits after the point (4), entries shown at each end of a shortened dim (3), and the number
---of elements above which dims are shortened (1000). Returns what is set.
---@param ... any
---@return any ...
function equi.print_options(...) end

---sizes..., {dtype=, generator=, requires_grad=} -> x
---
---Random numbers uniform in [0, 1). The same seed gives the same numbers on any number of threads.
---@param ... any
---@return any ...
function equi.rand(...) end

---low, high, sizes..., {generator=} -> x
---
---Random whole numbers from low to high, both included as in math.random; i64.
---@param ... any
---@return any ...
function equi.randint(...) end

---sizes..., {dtype=, generator=, requires_grad=} -> x
---
---Random numbers from the normal distribution with mean 0 and variance 1 (Box and Muller).
---@param ... any
---@return any ...
function equi.randn(...) end

---x, on:bool=true -> x
---
---Ask for the gradient of a leaf: backward fills x.grad.
---@param ... any
---@return any ...
function tensor:requires_grad_(...) end

---() -> {seed, counter}; state ->
---
---The whole state of the random stream, to save in checkpoints, or restores one.
---@param ... any
---@return any ...
function equi.rng_state(...) end

---n -> ; () -> n
---
---Starts the random stream n, or returns the current seed.
---@param ... any
---@return any ...
function equi.seed(...) end

---x, y -> boolean
---
---True when x and y are views of the same memory.
---@param ... any
---@return any ...
function tensor:shares_storage(...) end

---x, dim:int=nil -> n, ...
---
---Sizes of x, or the size of one dim.
---@param ... any
---@return any ...
function tensor:size(...) end

---x -> table
---
---Strides in elements, one per dim; 0 where x is expanded.
---@param ... any
---@return any ...
function tensor:stride(...) end

---values, {dtype=, requires_grad=} -> x
---
---A tensor from a number, nested tables of numbers or booleans, or a copy of a tensor.
---Rows must have equal lengths. dtype: f32 by default (bool for booleans).
---@param ... any
---@return any ...
function equi.tensor(...) end

---n=nil -> n
---
---Number of threads for our kernels and for BLAS; sets it when given. Results do not depend on it.
---@param ... any
---@return any ...
function equi.threads(...) end

---x -> string
---
---The elements as a binary string, row-major, in the host's byte order.
---@param ... any
---@return any ...
function tensor:tobytes(...) end

---x -> table
---
---Nested Lua tables of numbers (booleans for bool); a number if x has no dims.
---@param ... any
---@return any ...
function tensor:totable(...) end

---x, low=0, high=1, {generator=} -> x
---
---Fills x with numbers uniform in [low, high).
---@param ... any
---@return any ...
function tensor:uniform_(...) end

---path, {strings and tensors} -> true | nil, message
---
---Writes the pieces one after the other as the file's new content. The file changes completely or not at all: bytes go to a new file beside it, which is synced and renamed.
---@param ... any
---@return any ...
function equi.write_file_atomic(...) end

---x -> x
---
---Sets every element of x to 0.
---@param ... any
---@return any ...
function tensor:zero_(...) end

---sizes..., {dtype=, requires_grad=} -> x
---
---A tensor of zeros.
---@param ... any
---@return any ...
function equi.zeros(...) end

return equi
