// Package house keeps the rules of the tree that a compiler does not: which
// room may import which.
package house
