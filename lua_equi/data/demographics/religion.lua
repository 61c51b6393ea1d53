--- Religion, three members: {Christian, Muslim, Jewish}.
return {
  {"Christian", "Muslim", "Jewish", plural = {"Christians", "Muslims", "Jews"}},
  {"Christianity", "Islam", "Judaism"},
  {"church", "mosque", "synagogue", plural = {"churches", "mosques", "synagogues"}},
  {"priest", "imam", "rabbi", plural = {"priests", "imams", "rabbis"}},
  {"Bible", "Quran", "Torah"},
}
