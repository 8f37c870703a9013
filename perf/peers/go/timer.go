// timer [TIMES [LIVE [SLEEPS]]]: ../../timer.c in Go: a timer, and a context's deadline, armed and disarmed while 100,000 goroutines sleep; how
// late a sleep of 1 ms is. One thread.
package main

import (
	"context"
	"runtime"
	"time"
)

var times, live, sleeps = number(1, 1000000), number(2, 100000), number(3, 500)

func main() {
	runtime.GOMAXPROCS(1)
	for i := 0; i < live; i++ {
		go time.Sleep(time.Hour + time.Duration(i)*time.Millisecond)
	}
	time.Sleep(50 * time.Millisecond)

	begin := time.Now()
	for i := 0; i < times; i++ {
		timer := time.AfterFunc(time.Minute+time.Duration(i), func() { panic("too early") })
		check(timer.Stop())
	}
	printResult("arm-disarm", "Go-timer", float64(time.Since(begin).Nanoseconds())/float64(times), "ns")

	begin = time.Now()
	for i := 0; i < times; i++ {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute+time.Duration(i))
		check(ctx.Err() == nil)
		cancel()
	}
	printResult("arm-disarm", "Go-context", float64(time.Since(begin).Nanoseconds())/float64(times), "ns")

	late := 0.0
	for i := 0; i < sleeps; i++ {
		begin := time.Now()
		time.Sleep(time.Millisecond)
		took := time.Since(begin)
		check(took >= time.Millisecond)
		late += float64(took.Nanoseconds()) - 1e6
	}
	printResult("sleep-late", "Go", late/float64(sleeps)/1e3, "us")
}
