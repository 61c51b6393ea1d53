# lua_equi: builds lua_equi/core.so and runs everything there is to run. `make help` lists targets and variables.
#
# What is compiled is what lies in the folders: a new .c file in core/ops is a new family of ops, without a list to edit.
# Everything made goes to $(BUILD); only the plain build also puts core.so into the tree, where `require "lua_equi"` finds it.

BUILD   ?= build
CFLAGS  ?= -O3 -g
NATIVE  ?= 0
SIMD    ?= 1
WERROR  ?= 0
PKG_CONFIG ?= pkg-config
CLANG_FORMAT ?= clang-format

.DEFAULT_GOAL := all
.DELETE_ON_ERROR:
.SUFFIXES:

# The first command of a list that exists, and the first module of a list that pkg-config knows.
first_command = $(firstword $(foreach c,$(1),$(shell command -v $(c) 2>/dev/null)))
first_module  = $(firstword $(foreach m,$(1),$(shell $(PKG_CONFIG) --exists '$(m)' 2>/dev/null && echo '$(firstword $(m))')))
# The first folder of a list that holds a file: $(call first_folder,file,folders).
first_folder  = $(firstword $(foreach d,$(2),$(if $(wildcard $(d)/$(1)),$(d))))

# ---- what the machine has ---------------------------------------------------------------------------------------

SYSTEM := $(shell uname -s)
LUA    ?= $(or $(notdir $(call first_command,lua5.4 lua-5.4 lua54)),lua)
IS_CLANG := $(findstring clang,$(shell $(CC) --version 2>/dev/null))
CCACHE ?= $(notdir $(call first_command,ccache))

LUA_MODULE := $(call first_module,lua5.4 lua-5.4 lua54 'lua >= 5.4')
ifndef LUA_INCDIR
  LUA_INCDIR := $(if $(LUA_MODULE),$(patsubst -I%,%,$(firstword $(filter -I%,$(shell $(PKG_CONFIG) --cflags-only-I $(LUA_MODULE))))))
  ifeq ($(LUA_INCDIR),)
    LUA_INCDIR := $(call first_folder,lua.h,/usr/include/lua5.4 /usr/local/include/lua5.4 /usr/local/include /opt/homebrew/include/lua5.4 /opt/homebrew/include/lua /usr/include)
  endif
endif

# One thread pool for our kernels and for BLAS: the OpenMP build of OpenBLAS is taken where it is installed, even when the
# system's default is another build. Debian keeps each build in a folder of its own and picks one at run time, hence the rpath.
BLAS_MODULE := $(call first_module,openblas openblas-openmp openblas64)
BLAS_DIR    := $(firstword $(wildcard /usr/lib/*/openblas-openmp))
ifneq ($(BLAS_DIR),)
  BLAS_CFLAGS := -I$(subst /usr/lib/,/usr/include/,$(BLAS_DIR))
  BLAS_LIBS   := -L$(BLAS_DIR) -Wl,-rpath,$(BLAS_DIR) -lopenblas
else ifneq ($(BLAS_MODULE),)
  BLAS_CFLAGS := $(shell $(PKG_CONFIG) --cflags $(BLAS_MODULE))
  BLAS_LIBS   := $(shell $(PKG_CONFIG) --libs $(BLAS_MODULE))
else
  BLAS_PREFIX := $(call first_folder,include/cblas.h,/opt/homebrew/opt/openblas /usr/local/opt/openblas)
  BLAS_CFLAGS := $(if $(BLAS_PREFIX),-I$(BLAS_PREFIX)/include)
  BLAS_LIBS   := $(if $(BLAS_PREFIX),-L$(BLAS_PREFIX)/lib) -lopenblas
endif

PNG_MODULE := $(call first_module,libpng libpng16)
PNG_CFLAGS := $(if $(PNG_MODULE),$(shell $(PKG_CONFIG) --cflags $(PNG_MODULE)))
PNG_LIBS   := $(if $(PNG_MODULE),$(shell $(PKG_CONFIG) --libs $(PNG_MODULE)),-lpng)

# clang's OpenMP runs on libomp, OpenBLAS' on libgomp: two pools that fight for the cores, so clang builds without ours.
OPENMP ?= $(if $(IS_CLANG),0,1)

# ---- flags ------------------------------------------------------------------------------------------------------

WARNINGS := -Wall -Wextra -Wpedantic -Wshadow -Wstrict-prototypes $(if $(filter 1,$(OPENMP)),,-Wno-unknown-pragmas)
DEFINES  := -D_POSIX_C_SOURCE=200809L -D_DEFAULT_SOURCE $(if $(filter Darwin,$(SYSTEM)),-D_DARWIN_C_SOURCE)
# No flag here may change what NaN or infinity do; these two only say that nobody reads errno or the exception flags.
MATH     := -fno-math-errno -fno-trapping-math
# Functions with several versions are resolved before a sanitizer's run-time is ready, so sanitized builds do without.
NO_SIMD  := $(if $(filter 0,$(SIMD))$(findstring -fsanitize,$(CFLAGS)),-DEQ_NO_SIMD_DISPATCH)
COMPILE   = $(CC) -std=c11 $(DEFINES) $(WARNINGS) -fPIC -fvisibility=hidden $(CFLAGS) $(MATH) $(NO_SIMD) \
            $(if $(filter 1,$(OPENMP)),-fopenmp) $(if $(filter 1,$(NATIVE)),-march=native) \
            -Ilua_equi/core -I$(BUILD) $(addprefix -I,$(LUA_INCDIR)) $(BLAS_CFLAGS) $(PNG_CFLAGS) $(CPPFLAGS)
LIBFLAG  ?= $(if $(filter Darwin,$(SYSTEM)),-bundle -undefined dynamic_lookup,-shared)
LINK      = $(CC) $(LIBFLAG) $(filter -fsanitize% -g%,$(CFLAGS)) $(if $(filter 1,$(OPENMP)),-fopenmp) $(LDFLAGS)
LIBS      = $(BLAS_LIBS) $(PNG_LIBS) -lm $(if $(filter Darwin,$(SYSTEM)),,-ldl)

# ---- build ------------------------------------------------------------------------------------------------------

OPS      := $(sort $(wildcard lua_equi/core/ops/*.c))
SOURCES  := $(strip $(sort $(wildcard $(addprefix lua_equi/core/,*.c group/*.c image/*.c lua/*.c))) $(OPS))
OBJECTS  := $(SOURCES:%.c=$(BUILD)/%.o)
BACKENDS := $(patsubst %.c,$(BUILD)/%.so,$(sort $(wildcard lua_equi/backends/*.c)))
CORE     := $(BUILD)/lua_equi/core.so
LIBRARIES := $(if $(SOURCES),$(CORE)) $(BACKENDS)
ifeq ($(BUILD),build)
  IN_TREE := $(LIBRARIES:$(BUILD)/%=%)
endif

.PHONY: all clean FORCE
all: $(LIBRARIES) $(IN_TREE)

$(CORE): $(OBJECTS) $(BUILD)/flags
	@mkdir -p $(@D)
	$(LINK) -o $@ $(OBJECTS) $(LIBS)

$(BACKENDS): %.so: %.o $(BUILD)/flags
	@mkdir -p $(@D)
	$(LINK) -o $@ $< -lm

# A library that a running Lua has mapped must not be overwritten in place: write beside it and rename.
lua_equi/%.so: $(BUILD)/lua_equi/%.so
	@cp $< $@.new.so && mv -f $@.new.so $@

$(BUILD)/%.o: %.c $(BUILD)/flags $(BUILD)/oplist.h
	@mkdir -p $(@D)
	$(CCACHE) $(COMPILE) $(if $(filter 1,$(WERROR)),-Werror) -MMD -MP -c $< -o $@

# Two generated files that are rewritten only when what they say changes: the registry of ops, which follows the content of
# core/ops, and the command line, so that other flags or a removed source rebuild what they must.

$(BUILD)/oplist.h: FORCE
	@mkdir -p $(BUILD)
	@{ echo "// Generated from the files in core/ops: every family of ops, in the order of their names."; \
	   for f in $(notdir $(basename $(OPS))); do echo "extern const eq_op ops_$$f[];"; done; \
	   echo "static const eq_op *const oplist[] = {"; \
	   for f in $(notdir $(basename $(OPS))); do echo "  ops_$$f,"; done; echo "  0};"; } > $@.new
	@if cmp -s $@.new $@; then rm $@.new; else mv $@.new $@; fi

$(BUILD)/flags: FORCE
	@mkdir -p $(BUILD)
	@printf '%s\n' '$(COMPILE)' '$(LINK) $(LIBS)' '$(SOURCES)' > $@.new
	@if cmp -s $@.new $@; then rm $@.new; else mv $@.new $@; fi

-include $(OBJECTS:.o=.d) $(BACKENDS:.so=.d)

clean:
	rm -rf build build-* lua_equi/core.so lua_equi/backends/*.so

# ---- tests ------------------------------------------------------------------------------------------------------

BUSTED := $(LUA) spec/support/run.lua

.PHONY: test tiny
tiny: all
	$(if $(wildcard spec/tiny_spec.lua),$(BUSTED) spec/tiny_spec.lua,@:)
test: tiny
	$(BUSTED) spec
