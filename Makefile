# lua_equi: builds lua_equi/core.so and runs everything there is to run. `make help` lists targets and variables.
#
# What is compiled is what lies in the folders: a new .c file in core/ops is a new family of ops, without a list to edit.
# Everything made goes to $(BUILD); only the plain build also puts core.so into the tree, where `require "lua_equi"` finds it.

BUILD      ?= build
CFLAGS     ?= -O3 -g
NATIVE     ?= 0
SIMD       ?= 1
WERROR     ?= 0
V          ?= 0
PKG_CONFIG ?= pkg-config
DESTDIR    ?=
PREFIX     ?= /usr/local
LUADIR     ?= $(PREFIX)/share/lua/5.4
LIBDIR     ?= $(PREFIX)/lib/lua/5.4

.DEFAULT_GOAL := all
.DELETE_ON_ERROR:
.SUFFIXES:

# The first command of a list that exists, the first module of a list that pkg-config knows, and the first folder of a list
# that holds a file: $(call first_folder,file,folders).
first_command = $(firstword $(foreach c,$(1),$(shell command -v $(c) 2>/dev/null)))
first_module  = $(firstword $(foreach m,$(1),$(shell $(PKG_CONFIG) --exists $(m) 2>/dev/null && echo $(m))))
first_folder  = $(firstword $(foreach d,$(2),$(if $(wildcard $(d)/$(1)),$(d))))

# ---- what the machine has ----

SYSTEM   := $(shell uname -s)
LUA      ?= $(or $(notdir $(call first_command,lua5.4 lua-5.4 lua54)),lua)
CCACHE   ?= $(notdir $(call first_command,ccache))
IS_CLANG := $(findstring clang,$(shell $(CC) --version 2>/dev/null))

# A plain `lua` module may be any version; lua.h itself is checked before the first file is compiled.
LUA_MODULE := $(call first_module,lua5.4 lua-5.4 lua54 lua)
ifndef LUA_INCDIR
  LUA_INCDIR := $(if $(LUA_MODULE),$(patsubst -I%,%,$(firstword $(filter -I%,$(shell $(PKG_CONFIG) --cflags $(LUA_MODULE))))))
  ifeq ($(LUA_INCDIR),)
    LUA_INCDIR := $(call first_folder,lua.h,$(addsuffix /lua5.4,/usr/include /usr/local/include /opt/homebrew/include) \
                    /opt/homebrew/include/lua /usr/local/include /usr/include)
  endif
endif

# One thread pool for our kernels and for BLAS: the OpenMP build of OpenBLAS is taken where it is installed, even when the
# system's default is another build. Debian keeps each build in a folder of its own and picks one at run time, hence the rpath.
BLAS_MODULE := $(call first_module,openblas-openmp openblas)
BLAS_DIR    := $(firstword $(wildcard $(patsubst %,/usr/lib/%/openblas-openmp,$(shell $(CC) -print-multiarch 2>/dev/null) *)))
ifneq ($(BLAS_DIR),)
  BLAS_CFLAGS := -I$(subst /usr/lib/,/usr/include/,$(BLAS_DIR))
  BLAS_LIBS   := -L$(BLAS_DIR) -Wl,-rpath,$(BLAS_DIR) -lopenblas
else ifneq ($(BLAS_MODULE),)
  BLAS_CFLAGS := $(shell $(PKG_CONFIG) --cflags $(BLAS_MODULE))
  BLAS_LIBS   := $(shell $(PKG_CONFIG) --libs $(BLAS_MODULE))
else
  BLAS_PREFIX := $(call first_folder,include/cblas.h,/opt/homebrew/opt/openblas /usr/local/opt/openblas)
  BLAS_CFLAGS := $(addprefix -I,$(addsuffix /include,$(BLAS_PREFIX)))
  BLAS_LIBS   := $(addprefix -L,$(addsuffix /lib,$(BLAS_PREFIX))) -lopenblas
endif

PNG_MODULE := $(call first_module,libpng libpng16)
PNG_CFLAGS := $(if $(PNG_MODULE),$(shell $(PKG_CONFIG) --cflags $(PNG_MODULE)))
PNG_LIBS   := $(if $(PNG_MODULE),$(shell $(PKG_CONFIG) --libs $(PNG_MODULE)),-lpng)

# libpng is built on zlib, so it is there; distributions keep its header in a package of its own.
ZLIB_MODULE := $(call first_module,zlib)
ZLIB_CFLAGS := $(if $(ZLIB_MODULE),$(shell $(PKG_CONFIG) --cflags $(ZLIB_MODULE)))
ZLIB_LIBS   := $(if $(ZLIB_MODULE),$(shell $(PKG_CONFIG) --libs $(ZLIB_MODULE)),-lz)

# JPEG is read where libjpeg(-turbo) is found; JPEG=0 leaves it out. A build without it says so when a JPEG is opened.
JPEG_MODULE := $(call first_module,libjpeg)
JPEG_PREFIX := $(if $(JPEG_MODULE),,$(call first_folder,include/jpeglib.h,/usr /usr/local /opt/homebrew/opt/jpeg-turbo))
JPEG        ?= $(if $(JPEG_MODULE)$(JPEG_PREFIX),1,0)
ifeq ($(JPEG),1)
  JPEG_CFLAGS := -DEQ_JPEG $(if $(JPEG_MODULE),$(shell $(PKG_CONFIG) --cflags $(JPEG_MODULE)),-I$(JPEG_PREFIX)/include)
  JPEG_LIBS   := $(if $(JPEG_MODULE),$(shell $(PKG_CONFIG) --libs $(JPEG_MODULE)),-L$(JPEG_PREFIX)/lib -ljpeg)
endif

# clang's OpenMP runs on libomp, OpenBLAS' on libgomp: two pools that fight for the cores. clang's -fopenmp=libgomp is no way
# out, it ignores the pragmas. So clang builds without OpenMP, unless asked: then our threads do not call BLAS.
OPENMP ?= $(if $(IS_CLANG),0,1)

# ---- flags ----

# What is written in vectors is compiled once per instruction set, with its name and flags; the best is chosen at load time.
CPU        := $(firstword $(subst -, ,$(shell $(CC) -dumpmachine 2>/dev/null)))
MICRO_SETS := base $(if $(filter 0,$(SIMD)),,$(if $(filter x86_64 amd64,$(CPU)),v3 v4))
MICRO_v3   := -march=x86-64-v3
MICRO_v4   := -march=x86-64-v4
MICRO      := $(sort $(basename $(wildcard lua_equi/core/micro/sets/*.c))) lua_equi/core/conv/winograd_tiles
MICRO_OBJECTS := $(foreach s,$(MICRO_SETS),$(MICRO:%=$(BUILD)/%.$s.o))

WARNINGS := -Wall -Wextra -Wpedantic -Wshadow -Wstrict-prototypes $(if $(filter 1,$(OPENMP)),,-Wno-unknown-pragmas)
DEFINES  := -D_POSIX_C_SOURCE=200809L -D_DEFAULT_SOURCE $(if $(filter Darwin,$(SYSTEM)),-D_DARWIN_C_SOURCE)
# No flag here may change what NaN or infinity do: nobody reads errno or the exception flags, and a * b + c may be rounded once.
MATH     := -fno-math-errno -fno-trapping-math -ffp-contract=fast
# The versions of a function are chosen before a sanitizer's run-time is ready, so sanitized builds have one version of each.
NO_SIMD  := $(if $(filter 0,$(SIMD))$(findstring -fsanitize,$(CFLAGS)),-DEQ_NO_SIMD_DISPATCH)
SWITCHES := $(if $(filter 1,$(OPENMP)),-fopenmp,-fopenmp-simd) $(if $(filter 1,$(NATIVE)),-march=native) $(NO_SIMD) \
            $(if $(filter v3,$(MICRO_SETS)),-DEQ_MICRO_X86)
INCLUDES := -Ilua_equi/core -I$(BUILD) $(addprefix -I,$(LUA_INCDIR)) $(BLAS_CFLAGS) $(PNG_CFLAGS) $(ZLIB_CFLAGS) $(JPEG_CFLAGS)
COMPILE  := $(strip $(CC) -std=c11 $(DEFINES) $(WARNINGS) -fPIC -fvisibility=hidden $(CFLAGS) $(MATH) $(SWITCHES) \
              $(INCLUDES) $(CPPFLAGS))
LIBFLAG  ?= $(if $(filter Darwin,$(SYSTEM)),-bundle -undefined dynamic_lookup,-shared)
LINK     := $(strip $(CC) $(LIBFLAG) $(filter -fsanitize% -g%,$(CFLAGS)) $(filter -fopenmp,$(SWITCHES)) $(LDFLAGS))
LIBS     := $(strip $(BLAS_LIBS) $(PNG_LIBS) $(ZLIB_LIBS) $(JPEG_LIBS) -lm -lpthread $(if $(filter Darwin,$(SYSTEM)),,-ldl))

# ---- build ----

OPS       := $(sort $(wildcard lua_equi/core/ops/*.c))
PARTS     := *.c conv/*.c group/*.c image/*.c lua/*.c micro/*.c text/*.c
SOURCES   := $(strip $(filter-out $(MICRO:%=%.c),$(sort $(wildcard $(PARTS:%=lua_equi/core/%)))) $(OPS))
OBJECTS   := $(SOURCES:%.c=$(BUILD)/%.o) $(MICRO_OBJECTS)
BACKENDS  := $(patsubst %.c,$(BUILD)/%.so,$(sort $(wildcard lua_equi/backends/*.c)))
CORE      := $(BUILD)/lua_equi/core.so
LIBRARIES := $(if $(SOURCES),$(CORE)) $(BACKENDS)
ifeq ($(BUILD),build)
  IN_TREE := $(LIBRARIES:$(BUILD)/%=%)
else
  # Lua finds the libraries of another build before the plain one in the tree; so do the programs that specs start.
  export LUA_CPATH_5_4 := $(abspath $(BUILD))/?.so;$(LUA_CPATH);;
endif

# One word and the file, or with V=1 the whole command.
Q   := $(if $(filter 1,$(V)),,@)
say  = $(if $(Q),@printf '%8s  %s\n' $(1) $(2))

.PHONY: all
all: $(LIBRARIES) $(IN_TREE) ## build lua_equi/core.so and the backends (the default)

$(CORE): $(OBJECTS) $(BUILD)/flags
	$(call say,link,$@)
	$(Q)$(LINK) -o $@ $(OBJECTS) $(LIBS)

$(BACKENDS): %.so: %.o $(BUILD)/flags
	$(call say,link,$@)
	$(Q)$(LINK) -o $@ $< -lm

# A library that a running Lua has mapped must not be overwritten: write beside it and rename.
lua_equi/%.so: $(BUILD)/lua_equi/%.so
	@cp $< $@.new.so && mv -f $@.new.so $@

$(BUILD)/%.o: %.c $(BUILD)/flags $(BUILD)/oplist.h | $(BUILD)/found
	@mkdir -p $(@D)
	$(call say,compile,$<)
	$(Q)$(CCACHE) $(COMPILE) $(if $(filter 1,$(WERROR)),-Werror) -MMD -MP -c $< -o $@

define micro_rule
$(BUILD)/%.$(1).o: %.c $(BUILD)/flags | $(BUILD)/found
	@mkdir -p $$(@D)
	$$(call say,compile,'$$< ($(1))')
	$$(Q)$(CCACHE) $(COMPILE) $(MICRO_$(1)) -DEQ_MICRO_SET=$(1) $(if $(filter 1,$(WERROR)),-Werror) -MMD -MP -c $$< -o $$@
endef
$(foreach s,$(MICRO_SETS),$(eval $(call micro_rule,$s)))

# Two files that are rewritten only when what they say changes: the registry of ops, which follows the content of core/ops,
# and the command lines, so that other flags or a removed source rebuild what they must.
.PHONY: FORCE
REPLACE = if cmp -s $@.new $@; then rm $@.new; else mv $@.new $@; fi

$(BUILD)/oplist.h: FORCE
	@mkdir -p $(@D)
	@{ echo "/* Generated: the tables of ops, one for each file in core/ops, in the order of the names. */"; \
	   for f in $(notdir $(basename $(OPS))); do echo "extern const eq_op ops_$$f[];"; done; \
	   echo "static const eq_op *const oplist[] = {"; \
	   for f in $(notdir $(basename $(OPS))); do echo "  ops_$$f,"; done; echo "  0};"; } > $@.new
	@$(REPLACE)

$(BUILD)/flags: FORCE
	@mkdir -p $(@D)
	@printf '%s\n' '$(COMPILE)' '$(LINK) $(LIBS)' '$(SOURCES) $(MICRO) $(MICRO_SETS)' > $@.new
	@$(REPLACE)

-include $(OBJECTS:.o=.d) $(BACKENDS:.so=.d)

# What the compiler cannot find is said in one sentence with the package that has it, once per set of flags.
H := \#
COMMA := ,
LUA_TEST  := $(H)include <lua.h>\n$(H)if LUA_VERSION_NUM != 504\n$(H)error\n$(H)endif\n
BLAS_TEST := $(H)if __has_include(<cblas.h>)\n$(H)include <cblas.h>\n$(H)else\n$(H)include <openblas/cblas.h>\n$(H)endif\n
MAIN      := int main(void) { return 0; }\n
define need # what is needed, the test, what is done with it, packages
@printf '$(2)' | $(COMPILE) $(3) >/dev/null 2>&1 || \
  { echo "lua_equi needs $(1), which $(CC) does not find: install $(4), or run 'make deps'" >&2; exit 1; }
endef

$(BUILD)/found: $(BUILD)/flags
	@command -v $(firstword $(CC)) >/dev/null || \
	  { echo "lua_equi needs a C compiler, and there is no $(firstword $(CC)): install gcc, or set CC" >&2; exit 1; }
	$(call need,a C library and its headers,$(H)include <stdlib.h>\n$(MAIN),-x c - -o $@,libc6-dev (Debian and Ubuntu))
	$(call need,the headers of Lua 5.4 (lua.h),$(LUA_TEST),-E -x c -,liblua5.4-dev (Debian and Ubuntu)$(COMMA) lua-devel \
	  (Fedora) or lua (Arch$(COMMA) Homebrew)$(COMMA) set LUA_INCDIR to the folder that holds it)
	$(call need,OpenBLAS' header cblas.h,$(BLAS_TEST),-E -x c -,libopenblas-openmp-dev (Debian and Ubuntu)$(COMMA) \
	  openblas-devel (Fedora) or openblas (Arch$(COMMA) Homebrew))
	$(call need,libpng's header png.h,$(H)include <png.h>\n,-E -x c -,libpng-dev (Debian and Ubuntu)$(COMMA) libpng-devel \
	  (Fedora) or libpng (Arch$(COMMA) Homebrew))
	$(call need,zlib's header zlib.h,$(H)include <zlib.h>\n,-E -x c -,zlib1g-dev (Debian and Ubuntu)$(COMMA) zlib-devel \
	  (Fedora) or zlib (Arch$(COMMA) Homebrew))
	$(call need,the libraries $(LIBS),$(MAIN),-x c - $(LIBS) -o $@,libopenblas-openmp-dev$(COMMA) libpng-dev and zlib1g-dev \
	  (Debian and Ubuntu)$(COMMA) openblas-devel$(COMMA) libpng-devel and zlib-devel (Fedora) or openblas$(COMMA) libpng and zlib \
	  (Arch$(COMMA) Homebrew))
	@touch $@

# ---- what must be installed ----

DEBIAN      := libc6-dev lua5.4 liblua5.4-dev libopenblas-openmp-dev libpng-dev zlib1g-dev libjpeg-dev pkgconf
DEBIAN_TEST := curl lua-busted lua-check luarocks clang-format-14 ccache
ELSEWHERE   := 'Fedora:   dnf install gcc lua lua-devel openblas-devel libpng-devel zlib-devel libjpeg-turbo-devel pkgconf' \
               'Arch:     pacman -S gcc lua openblas libpng zlib libjpeg-turbo pkgconf' \
               'Homebrew: brew install gcc lua openblas libpng zlib jpeg-turbo pkgconf' \
               'The tests also need ccache, curl, luarocks, clang-format 14, and from LuaRocks busted and luacheck.'

# $(call install,packages): silent when all of them are there, and it does not ask.
define install
@if ! command -v dpkg-query >/dev/null; then \
  command -v $(LUA) >/dev/null && $(PKG_CONFIG) --exists openblas libpng zlib libjpeg 2>/dev/null || \
    printf '%s\n' 'This is neither Debian nor Ubuntu, so install by hand what is missing:' $(ELSEWHERE); \
  exit 0; \
fi; \
missing=; \
for p in $(1); do \
  case "$$(dpkg-query -W -f='$${db:Status-Status}' $$p 2>/dev/null)" in installed*) ;; *) missing="$$missing $$p" ;; esac; \
done; \
[ -n "$$missing" ] || exit 0; \
sudo=; \
if [ "$$(id -u)" != 0 ]; then \
  sudo=sudo; \
  command -v sudo >/dev/null || { echo "missing packages; as root, run: apt-get install$$missing" >&2; exit 1; }; \
fi; \
echo "installing the missing packages:$$missing"; \
apt="$$sudo env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300"; \
log=$$(mktemp); \
{ $$apt update; $$apt install --no-install-recommends -y $$missing; } </dev/null >$$log 2>&1 || \
  { cat $$log >&2; rm $$log; echo "apt-get could not install$$missing" >&2; exit 1; }; \
rm $$log
endef

.PHONY: deps test-deps
deps: ## install the Debian or Ubuntu packages that building needs; on other systems name theirs
	$(call install,$(DEBIAN))
test-deps: ## the same for testing
	$(call install,$(DEBIAN) $(DEBIAN_TEST))

# Targets that first install, or that build with other flags, start make again: what the machine has and what is to be
# compiled is looked up when make starts.
JOBS    ?= $(or $(shell nproc 2>/dev/null),2)
AGAIN    = $(MAKE) --no-print-directory
PARALLEL = $(AGAIN) $(if $(filter -j%,$(MAKEFLAGS)),,-j$(JOBS))

# ---- running ----

.PHONY: demo run-demo bench doc
demo: deps ## install, build, and run a shortened SCAN experiment
	@$(PARALLEL) all
	@$(AGAIN) run-demo
run-demo:
	@$(LUA) scripts/scan.lua --demo

bench: all $(BUILD)/bench/bare ## measure; the numbers stand beside a plain loop, BLAS or PyTorch
	$(LUA) scripts/bench/run.lua --bare $(BUILD)/bench/bare $(BENCH)
$(BUILD)/bench/bare: scripts/bench/bare.c $(BUILD)/flags
	@mkdir -p $(@D)
	$(call say,compile,$<)
	$(Q)$(COMPILE) -march=native -o $@ $< $(BLAS_LIBS) -lm

doc: all ## write the reference and the editor's annotations from the docstrings
	$(LUA) scripts/doc/run.lua

# ---- tests ----

SPECS    ?= spec
RUN_SPECS = $(LUA) spec/support/run.lua

.PHONY: test run-specs tiny check
test: test-deps ## everything CI runs: install, build, check, the tiny spec, then all specs
	@$(PARALLEL) all
	@$(AGAIN) check
	@$(AGAIN) tiny
	@$(AGAIN) run-specs
run-specs: all ## all specs, or those of SPECS=files, without the checks
	$(RUN_SPECS) $(SPECS)
tiny: all ## the spec that touches every layer in two seconds
	$(if $(wildcard spec/tiny_spec.lua),$(RUN_SPECS) spec/tiny_spec.lua,@:)

# Goes through everything before it fails. A missing tool is a failure too: what was not looked at is not in order.
CLANG_FORMAT ?= $(or $(notdir $(call first_command,clang-format-14)),clang-format)
C_SOURCES     = $(shell find lua_equi -name '*.[ch]')
check: all ## luacheck, clang-format, layers, sizes, and that the generated docs are up to date
	@bad=0; \
	if command -v luacheck >/dev/null; then luacheck -q --no-color $(wildcard lua_equi models scripts spec) || bad=1; \
	else echo "check needs luacheck: install lua-check (Debian and Ubuntu), or run 'make test-deps'" >&2; bad=1; fi; \
	case "$$($(CLANG_FORMAT) --version 2>/dev/null)" in \
	  *'version 14.'*) for f in $(C_SOURCES); do \
	    $(CLANG_FORMAT) $$f | cmp -s - $$f || { echo "$$f is laid out otherwise: run 'make format'" >&2; bad=1; }; done ;; \
	  *) echo "check needs clang-format 14, other versions lay out differently: install clang-format-14" >&2; bad=1 ;; \
	esac; \
	$(LUA) spec/support/tree.lua $(CORE) || bad=1; \
	if [ -e scripts/doc/run.lua ]; then \
	  rm -rf $(BUILD)/doc; $(LUA) scripts/doc/run.lua --root $(BUILD)/doc || bad=1; \
	  for f in $$(cd $(BUILD)/doc && find . -type f); do \
	    cmp -s $(BUILD)/doc/$$f $$f || { echo "$$f is out of date: run 'make doc'" >&2; bad=1; }; done; \
	fi; \
	exit $$bad

.PHONY: format
format: ## lay out the C files as check wants them
	$(CLANG_FORMAT) -i $(C_SOURCES)

# The memory checkers have a build of their own and write each report to a file; one report, of the specs or of a program that
# they start, fails the target. Stock Lua is not instrumented, so their libraries must be loaded with it: first in PATH stands a
# `lua5.4` that does so, by soname, because the loader would keep a path as a second name, which is then reported as a leak.
# (LD_PRELOAD would reach every program that a spec starts, and report the leaks of sed and bash.)
SANITIZE := -O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=undefined
REPORT   := $(CURDIR)/build-asan/report
.PHONY: asan run-asan tsan run-tsan fuzz run-fuzz gc oom
asan: ## all specs (or SPECS=) under the address, leak and undefined-behaviour sanitizers of gcc
	@$(PARALLEL) BUILD=build-asan CFLAGS='$(SANITIZE)' all
	@$(AGAIN) BUILD=build-asan CFLAGS='$(SANITIZE)' run-asan
build-%san/bin/$(LUA): Makefile
	@mkdir -p $(@D)
	@lua=$$(command -v $(LUA)); loader=$$(readelf -l $$lua | sed -n 's/.*interpreter: \(.*\)]/\1/p'); \
	  soname() { readelf -d "$$($(CC) -print-file-name=$$1)" | sed -n 's/.*soname: \[\(.*\)].*/\1/p'; }; \
	  printf '#!/bin/sh\nexec %s --argv0 $(LUA) --preload "%s %s" %s "$$@"\n' \
	    $$loader $$(soname lib$*san.so) "$$([ $* = t ] || soname libubsan.so)" $$lua > $@; chmod +x $@
# $(call sanitized,command): a report fails the target, whatever the command says. The leak checker of
# gcc 12 trips over the thread-local variables of our threads when it intercepts their look-up.
define sanitized
@rm -f $(REPORT).*
@PATH=$(CURDIR)/build-asan/bin:$$PATH \
  ASAN_OPTIONS=log_path=$(REPORT):detect_leaks=1:detect_stack_use_after_return=1:intercept_tls_get_addr=0:$(2) \
  UBSAN_OPTIONS=log_path=$(REPORT):print_stacktrace=1 \
  LSAN_OPTIONS=suppressions=$(CURDIR)/spec/support/leaks.supp:print_suppressions=0 \
  $(1); result=$$?; \
  for f in $(REPORT).*; do [ ! -e $$f ] || { cat $$f; result=1; }; done; exit $$result
endef
run-asan: build-asan/bin/$(LUA)
	$(call sanitized,$(RUN_SPECS) --exclude-tags=install $(SPECS))

# Without OpenMP, whose fences the checker cannot see: nothing of ours runs on its threads.
THREADS := -O1 -g -fsanitize=thread
tsan: ## the loader's threads and those of parallel.c under the thread sanitizer of gcc
	@$(PARALLEL) BUILD=build-tsan CFLAGS='$(THREADS)' OPENMP=0 all
	@$(AGAIN) BUILD=build-tsan CFLAGS='$(THREADS)' OPENMP=0 run-tsan
run-tsan: build-tsan/bin/$(LUA)
	@PATH=$(CURDIR)/build-tsan/bin:$$PATH TSAN_OPTIONS=halt_on_error=1:exitcode=66 $(RUN_SPECS) \
	  spec/data/loader_spec.lua spec/threads_spec.lua

# Changed copies of good files for every reader, FUZZ_SECONDS each (FUZZ=names: only these). See spec/fuzz/run.lua.
FUZZ_SECONDS ?= 20
fuzz: ## every reader of files on damaged ones, under the sanitizers; FUZZ_SECONDS for each, FUZZ=names for some
	@$(PARALLEL) BUILD=build-asan CFLAGS='$(SANITIZE)' all
	@$(AGAIN) BUILD=build-asan CFLAGS='$(SANITIZE)' run-fuzz
run-fuzz: build-asan/bin/$(LUA)
	$(call sanitized,$(LUA) spec/fuzz/run.lua --seconds $(FUZZ_SECONDS) --keep build-asan/fuzz $(FUZZ),allocator_may_return_null=1)

# Specs tagged `words` go through lists of 20,000 texts or large damaged files and make no tensor: there is nothing to let go
# too early.
gc: all ## all specs (or SPECS=) with a collector that never rests, then with the generational one
	$(RUN_SPECS) --gc=incremental --exclude-tags=install,words $(SPECS)
	$(RUN_SPECS) --gc=generational --exclude-tags=install,words $(SPECS)

oom: all ## every allocation of a task fails once: the first, the second, the third ...
	@mkdir -p $(BUILD)/support
	$(COMPILE) $(LIBFLAG) spec/support/oom.c -o $(BUILD)/support/oom.so
	LUA_CPATH_5_4="$(BUILD)/support/?.so;$(or $(LUA_CPATH_5_4),;)" $(LUA) spec/support/oom.lua

PYTHON ?= python3
.PHONY: gpt2-check
gpt2-check: all ## a model of GPT-2 small's size against PyTorch: PYTHON= has torch, 1 GB below build/
	$(PYTHON) spec/support/make_gpt2_vectors.py --large $(BUILD)/gpt2-check
	$(LUA) spec/support/gpt2_check.lua $(BUILD)/gpt2-check
	rm -r $(BUILD)/gpt2-check

# ---- install ----

MODULES = $(shell find lua_equi -name '*.lua')
WEIGHTS = $(shell cd models && find weights -type f 2>/dev/null)
.PHONY: install uninstall clean help
install: all ## install below PREFIX, or into LUADIR and LIBDIR; DESTDIR goes in front
	@for f in $(MODULES); do install -D -m 644 $$f "$(DESTDIR)$(LUADIR)/$$f" || exit 1; done
	@for f in $(notdir $(wildcard models/*.lua)); do \
	  install -D -m 644 models/$$f "$(DESTDIR)$(LUADIR)/lua_equi/models/$$f" || exit 1; done
	@for f in $(WEIGHTS); do install -D -m 644 models/$$f "$(DESTDIR)$(LUADIR)/lua_equi/models/$$f" || exit 1; done
	@for f in $(LIBRARIES:$(BUILD)/%=%); do install -D -m 755 $(BUILD)/$$f "$(DESTDIR)$(LIBDIR)/$$f" || exit 1; done
uninstall: ## remove what install put there
	rm -rf "$(DESTDIR)$(LUADIR)/lua_equi" "$(DESTDIR)$(LIBDIR)/lua_equi"
clean: ## remove what was built
	rm -rf build build-* lua_equi/core.so lua_equi/backends/*.so

help: ## this text
	@echo 'make TARGET [VARIABLE=value ...]'
	@sed -n 's/^\([a-z-]*\):[^#]*## /  \1\t/p' $(firstword $(MAKEFILE_LIST)) | expand -t 14
	@echo 'Variables, with what they are now:'
	@printf '  %-34s %s\n' \
	  'CC=$(CC)' 'compiler; gcc or clang' \
	  'CFLAGS=$(CFLAGS)' 'optimisation and debugging' \
	  'LUA=$(LUA)' 'interpreter that runs specs and scripts' \
	  'LUA_INCDIR=$(LUA_INCDIR)' 'folder of lua.h' \
	  'JPEG=$(JPEG)' '0: without JPEG files; the default where libjpeg is not found' \
	  'OPENMP=$(OPENMP)' '0: without it our threads do not call BLAS; the default with clang' \
	  'NATIVE=$(NATIVE)' '1: for this processor only' \
	  'SIMD=$(SIMD)' '0: no run-time choice between instruction sets (EQ_NO_SIMD_DISPATCH)' \
	  'V=$(V)' '1: show the commands' \
	  'WERROR=$(WERROR)' '1: a warning stops the build' \
	  'BUILD=$(BUILD)' 'folder for what is made; only the default also updates lua_equi/core.so' \
	  'PREFIX=$(PREFIX)' 'where install puts things; LUADIR, LIBDIR and DESTDIR are obeyed too'
