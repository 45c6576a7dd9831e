package stack_test

import (
	"drydock/targets/internal/recipe"
	"drydock/targets/internal/stack"
)

func init() { stack.Shipped = recipe.Rows() }
