// switch [TIMES]: two goroutines that yield to each other; two that hand a value to and fro over channels. One thread, as in ../../switch.c.
package main

import (
	"runtime"
	"sync"
	"time"
)

var times = number(1, 2000000)

func pair(first, second func()) float64 {
	var group sync.WaitGroup
	group.Add(2)
	begin := time.Now()
	for _, body := range []func(){first, second} {
		body := body
		go func() {
			defer group.Done()
			body()
		}()
	}
	group.Wait()
	return float64(time.Since(begin).Nanoseconds()) / float64(2*times)
}

func main() {
	runtime.GOMAXPROCS(1)
	var yields int
	yield := func() {
		for i := 0; i < times; i++ {
			yields++ // one thread, and no preemption within: both count
			runtime.Gosched()
		}
	}
	printResult("yield-pair", "Go", pair(yield, yield), "ns")
	check(yields == 2*times)

	there, back, sum := make(chan int), make(chan int), 0
	printResult("hand-over", "Go", pair(func() {
		for i := 0; i < times; i++ {
			there <- i
			sum += <-back
		}
	}, func() {
		for i := 0; i < times; i++ {
			back <- <-there
		}
	}), "ns")
	check(sum == times*(times-1)/2)
}
