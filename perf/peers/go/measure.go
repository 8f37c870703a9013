package main

import (
	"fmt"
	"os"
	"strconv"
)

func printResult(what, subject string, value float64, unit string) {
	fmt.Printf("%s\t%s\t%.4g\t%s\n", what, subject, value, unit)
}

func number(i, otherwise int) int {
	if len(os.Args) <= i {
		return otherwise
	}
	n, err := strconv.Atoi(os.Args[i])
	if err != nil {
		panic(err)
	}
	return n
}

func check(right bool) {
	if !right {
		fmt.Fprintln(os.Stderr, "a wrong result")
		os.Exit(1)
	}
}
