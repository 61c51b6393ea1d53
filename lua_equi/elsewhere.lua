--- What PyTorch, NumPy and Torch7 call things, and what they are called here: only for messages.
--
-- Names are looked up without capitals and underscores, so CrossEntropyLoss is cross_entropy_loss.
-- A row is what to write here; one that begins with "=" is a sentence of its own.
local nearest = require "lua_equi.nearest"

local elsewhere = {}

local CPU = "=there is one device, the CPU"
local CAT = "equi.cat(list, dim)"
local HALF = "=numbers are computed in f32 or f64; x:float(), x:double()"
local LIKE = "_like(x), or equi.%s(shape, {dtype = x.dtype})"
local WRAP = "a class of your own around the module: equi.nn.class"
local function like(name) return "equi." .. name .. LIKE:format(name) end

-- Everywhere: on equi, its modules, tensors, modules and optimizers.
local common = {
  cuda = CPU, cpu = CPU, gpu = CPU, device = CPU, iscuda = CPU, mps = CPU, todevice = CPU,
  half = HALF, bfloat16 = HALF, float16 = HALF, autocast = HALF, amp = HALF,
  array = "equi.tensor", astensor = "equi.tensor", asarray = "equi.tensor",
  floattensor = "equi.tensor", longtensor = 'equi.tensor(list, {dtype = "i64"})',
  doubletensor = 'equi.tensor(list, {dtype = "f64"})', fromnumpy = "equi.frombytes",
  frombuffer = "equi.frombytes", empty = "equi.zeros", emptylike = "equi.zeros_like",
  newzeros = like "zeros", newones = like "ones", newempty = like "zeros",
  newfull = "equi.full_like(x, value)", newtensor = "equi.tensor", new = "equi.zeros",
  float32 = 'the dtype "f32"', float64 = 'the dtype "f64"', int64 = 'the dtype "i64"',
  uint8 = 'the dtype "u8"', int32 = 'the dtype "i64"', bool = 'the dtype "bool"',
  float = 'the dtype "f32"', double = 'the dtype "f64"', long = 'the dtype "i64"',
  random = "equi.rand, equi.randn, equi.randint; equi.seed(n) starts the stream",
  normal = "equi.randn", uniform = "equi.rand", randperm = "equi.permutation(n)",
  manualseed = "equi.seed(n)", getrngstate = "equi.rng_state()", setrngstate = "equi.rng_state(s)",
  setnumthreads = "equi.threads(n)", setdefaultdtype = "equi.default_dtype",
  setdefaulttensortype = "equi.default_dtype", setprintoptions = "equi.print_options",
  nograd = "equi.no_grad(f)", inferencemode = "equi.no_grad(f)",
  enablegrad = "equi.grad_enabled(true)", setgradenabled = "equi.grad_enabled(on)",
  isgradenabled = "equi.grad_enabled()", setdetectanomaly = "equi.debug(true)",
  autograd = "equi.grad, equi.op", ["function"] = "equi.op", gradcheck = "equi.check.gradients",
  functional = "equi.relu, equi.softmax ...", f = "equi.relu, equi.softmax ...",
  save = "equi.safetensors.save(path, tensors) or equi.checkpoint.save",
  load = "equi.load_weights(path) or equi.checkpoint.load",
  concat = CAT, concatenate = CAT, vstack = "equi.cat(list, 1)", hstack = "equi.cat(list, 2)",
  dstack = "equi.cat(list, 3)", columnstack = "equi.stack(list, 2)", rowstack = "equi.cat(list, 1)",
  clip = "x:clamp(min, max)", clampmin = "x:clamp {min = 0}",
  clampmax = "x:clamp {max = 1}", fmax = "x:maximum(y)", fmin = "x:minimum(y)",
  allclose = "(x - y):abs():max():item() <= 1e-6", isclose = "(x - y):abs():le(1e-6)",
  equal = "x:eq(y):all():item()", arrayequal = "x:eq(y):all():item()",
  meshgrid = "equi.arange(h):unsqueeze(2):expand(h, w) and equi.arange(w):expand(h, w)",
  mm = "x:matmul(w)", mv = "x:matmul(w)", tensordot = "equi.einsum", inner = "x:dot(y)",
  cmul = "x * y", multiply = "x * y", divide = "x / y", subtract = "x - y", power = "x ^ y",
  truediv = "x / y", addmm = "b + x:matmul(w)", addcmul = "x + y * z",
  greater = "x:gt(y)", less = "x:lt(y)", greaterequal = "x:ge(y)", lessequal = "x:le(y)",
  notequal = "x:ne(y)", fmod = "x % y", mod = "x % y", arctan2 = "equi.atan2(y, x)",
  view = "x:reshape(...)", resize = "x:reshape(...)", ravel = "x:flatten()",
  dim = "x.ndim", ndimension = "x.ndim", nelement = "x:numel()", len = "x:size(1)",
  tolist = "x:totable()", numpy = "x:totable() or x:tobytes()", type = "x.dtype and x:to(dtype)",
  astype = "x:to(dtype)", int = "x:long()", contiguous =
    "x:clone(), which is row-major; views are copied where that is needed",
  mt = "x:transpose()", swapaxes = "x:transpose(a, b)", moveaxis = "x:movedim(from, to)",
  gradfn = "x.grad_op", data = "x:detach()", registerhook = "x:hook(f)",
  select = "x[{{}, 2}], or x:narrow(dim, start, length)", slice = "x[{{from, to}}]",
  ["repeat"] = "x:tile(...)", broadcastto = "x:expand(...)", absolute = "x:abs()",
  splitwithsizes = "x:split(sizes, dim)", itemsize = "x.dtype", lognormal = "equi.randn(n):exp()",
  crossentropyloss = "equi.cross_entropy(logits, classes)", nllloss = "equi.nll_loss",
  mseloss = "equi.mse_loss", bceloss = "equi.bce_with_logits",
  bcewithlogitsloss = "equi.bce_with_logits", l1loss = "equi.l1_loss",
  smoothl1loss = "equi.smooth_l1_loss", kldivloss = "equi.kl_div",
  binarycrossentropy = "equi.bce_with_logits", binarycrossentropywithlogits =
    "equi.bce_with_logits", swish = "equi.silu",
  multiheadattention = "equi.nn.attention(features, heads)",
  scaleddotproductattention = "equi.nn.dot_product_attention",
  modulelist = "a plain Lua table of modules as a field: the walk finds them",
  moduledict = "a plain Lua table of modules as a field: the walk finds them",
  parameterlist = "a plain Lua table of tensors as a field",
  parameter = "a tensor as a field of the module; names in a class's `buffers` are no parameters",
  registerbuffer = "a tensor as a field whose name is in the class's `buffers`",
  registerparameter = "a tensor as a field of the module", addmodule = "net.name = module",
  module = "equi.nn.class(name, {new =, forward =})", init = "equi.nn.initialise",
  registerforwardhook = WRAP,
  dataparallel = "=threads share the work of every operation; equi.threads(n)",
  maxpool = "equi.max_pool2d", flattenlayer = "equi.nn.flatten",
  lrscheduler = "equi.optim.step_lr, multi_step, cosine, linear, plateau",
  reducelronplateau = "equi.optim.plateau", cosineannealinglr = "equi.optim.cosine",
  multisteplr = "equi.optim.multi_step", linearlr = "equi.optim.linear",
  clipgradnorm = "equi.optim.clip_norm", clipgradvalue = "equi.optim.clip_value",
  dataloader = "equi.data.loader or equi.data.sequences", dataset = "equi.data",
  imagefolder = "equi.data.image_folder", compile = "=operations run at once; equi.fuse(model) "
    .. "speeds up inference", jit = "=operations run at once; equi.fuse(model) speeds up inference",
  weightdecay = "the option weight_decay of the optimizer",
}

-- Where the same word means something else.
local special = {
  tensor = {t = "x:t(), or x:transpose() of the last two dims", bool = 'x:to "bool"',
    random = "x:uniform_() or x:normal_()", normal = "x:normal_()", uniform = "x:uniform_()",
    iscontiguous = "x:is_contiguous()", save = "equi.safetensors.save(path, {x = x})"},
  module = {weights = "net.weight, or net:state_dict()", buffers = "net:state_dict()",
    namedmodules = "equi.nn.walk(net, f)", namedbuffers = "net:state_dict()",
    namedchildren = "pairs(net)", apply = "equi.nn.walk(net, f)", type = "net:to(dtype)",
    float = 'net:to "f32"', double = 'net:to "f64"', numparameters = "net:count()",
    summary = "print(net)", copy = "net:clone()", deepcopy = "net:clone()",
    istraining = "net.training", call = "net(x)", predict = "net(x)",
    fit = "equi.train.run", zerograds = "net:zero_grad()", cuda = CPU, cpu = CPU, gpu = CPU,
    device = CPU, half = HALF, bfloat16 = HALF, getparameters = "net:parameters()",
    addmodule = "net.name = module", append = "net[#net + 1] = module",
    registerbuffer = "a field whose name is in the class's `buffers`",
    registerparameter = "a tensor as a field of the module", registerforwardhook = WRAP,
    registerforwardprehook = WRAP, registerfullbackwardhook = "x:hook(f) of a tensor"},
  optimizer = {paramgroups = "opt.groups", zerograd = "opt:zero_grad()",
    learningrate = "opt:lr()", getlastlr = "opt:lr()", setlr = "opt:lr(x)", params =
    "opt.groups[1].params", parameters = "opt.groups[1].params",
    addparamgroup = "a list of groups {params =, lr =} at construction"},
  group = {size = "G.order", len = "#G or G.order", n = "G.order", inverse = "g ^ -1",
    inv = "g ^ -1", mul = "g * h", product = "equi.group.product(G, H)", isabelian = "G.is_abelian",
    id = "G.identity", e = "G.identity", unit = "G.identity", cayley = "G:table()",
    cayleytable = "G:table()", elems = "G:elements()"},
}

--- Dtypes by the names of others: the clause that ends a message.
elsewhere.dtypes = {}
for ours, names in pairs {
  f32 = "float32 float single f torch.float32 torch.float Float", f64 = "float64 double d "
    .. "torch.float64 torch.double", i64 = "int64 int32 int long integer torch.int64 torch.long",
  u8 = "uint8 byte char torch.uint8", bool = "boolean torch.bool mask"} do
  for name in names:gmatch "%S+" do
    elsewhere.dtypes[name] = ('write "%s"'):format(ours)
  end
end
for name in ("half float16 bfloat16 f16 bf16 torch.half torch.float16"):gmatch "%S+" do
  elsewhere.dtypes[name] = "there is no arithmetic in 16 bits"
end

--- Options by the names of others: ours, which a function may or may not have.
elsewhere.options = {axis = "dim", axes = "dim", dims = "dim", keepdims = "keepdim",
  num_layers = "layers", learning_rate = "lr", batch_size = "batch", padding = "pad",
  pad = "padding", kernel_size = "kernel", momentum_decay = "momentum",
  epsilon = "eps", l2 = "weight_decay", use_bias = "bias",
  in_features = "inputs", out_features = "outputs", num_heads = "heads", betas = "beta1",
  elementwise_affine = "affine", dropout_p = "dropout", p = "dropout", rho = "alpha"}

local function plain(name) return (name:lower():gsub("_", "")) end

-- Where else in this library the name stands.
local FAMILIES = {"nn", "optim", "group", "action"}

local function at_home(name, own)
  local core = require "lua_equi.core" -- only here: options and plots do without it
  for place in pairs(own) do
    if plain(place) == name then return nil, place end
  end
  for known in pairs(core) do
    if plain(known) == name and type(core[known]) == "function" then return "equi." .. known end
  end
  local equi = package.loaded["lua_equi"]
  for _, family in ipairs(equi and FAMILIES or {}) do
    for known, v in pairs(equi[family]) do
      if plain(known) == name and type(v) == "function" then
        return ("equi.%s.%s"):format(family, known)
      end
    end
  end
  for known in pairs(core.methods) do
    if plain(known) == name then return ("the method x:%s(...)"):format(known) end
  end
end

local function told(row) return row:sub(1, 1) == "=" and row:sub(2) or "it is " .. row end

--- The end of a message about a name that is not there: what it is here, or the nearest name.
---@param where string "equi", "nn", "optim", "tensor", "module", "optimizer", "group" ...
---@param name string
---@param names string[] the names that are there
---@return string? clause
--- Example:
---     local elsewhere = require "lua_equi.elsewhere"
---     print(elsewhere.hint("nn", "GELU", {"relu"}))   --> it is equi.gelu
function elsewhere.hint(where, name, names)
  local word, own = plain(name), {}
  local row = special[where] and special[where][word]
  if row then return told(row) end
  for _, known in ipairs(names) do own[known] = true end
  local home, spelt = at_home(word, own)
  if spelt then return ('did you mean "%s"?'):format(spelt) end
  if common[word] then return told(common[word]) end
  if home then return told(home) end
  local near = nearest(name, names)
  return near and ('did you mean "%s"?'):format(near)
end

local FIELDS = {
  group = {"order", "name", "identity", "generators", "is_abelian", "degree", "parent", "factors"},
  action = {"group", "exact", "kind", "parts", "dim", "size"},
}

--- The same for values of C, with all their names if there is no hint.
---@param where string "group" or "action"
---@param name string
---@param methods table
---@return string clause
--- Example:
---     local elsewhere = require "lua_equi.elsewhere"
---     print(elsewhere.unknown("group", "size", {}))   --> it is G.order
function elsewhere.unknown(where, name, methods)
  local names = table.move(FIELDS[where], 1, #FIELDS[where], 1, {})
  for method in pairs(methods) do names[#names + 1] = method end
  table.sort(names)
  return elsewhere.hint(where, name, names) or "it has " .. table.concat(names, ", ")
end

--- What a module answers to a name that it does not have, or nil where nothing is known of the
--- name: it may be a field that is absent on purpose, so only what is surely meant is answered.
---@param name string
---@param names string[] the methods of modules
---@return string? clause
--- Example:
---     local elsewhere = require "lua_equi.elsewhere"
---     print(elsewhere.of_module("weights", {}))   --> it is net.weight, or net:state_dict()
function elsewhere.of_module(name, names)
  local row = special.module[plain(name)]
  if row then return told(row) end
  local near = #name > 4 and nearest(name, names, 1)
  return near and #near > 4 and ('did you mean "%s"?'):format(near) or nil
end

return elsewhere
