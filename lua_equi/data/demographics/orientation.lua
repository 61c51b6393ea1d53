--- Sexual orientation, two members: {gay, straight}.
return {
  {"gay", "straight"},
}
