package stack

// Shipped are the components of the shipped stacks: those of room recipe, which is above this one.
var Shipped Rows

// blank is a stack of which nothing was read yet.
func blank() *Stack { return &Stack{Rows: Shipped} }
