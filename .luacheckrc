std = "lua54"
max_line_length = 100
cache = false
include_files = {"lua_equi", "models", "scripts", "spec", "rockspec/*.rockspec"}
exclude_files = {"lua_equi/meta"}
files["spec"].std = "lua54+busted"
files["rockspec"].std = "lua54+rockspec"
