std = "lua54"
max_line_length = 100
cache = false
exclude_files = {"lua_equi/meta"}
files["spec"].std = "lua54+busted"
