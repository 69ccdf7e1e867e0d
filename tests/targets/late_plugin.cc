// SPDX-License-Identifier: MIT
/* late_plugin.cc - a C++ library for a C program to load; see late_cxx.c. */
#include <cstddef>
#include <new>

#define HIDE(p) __asm__ volatile("" : "+r"(p) : : "memory")

struct alignas(128) wide {
	char bytes[256];
};

/* 4 blocks, 4 + 1000 + 256 + 50 bytes, all freed */
extern "C" void late_round()
{
	int *one = new int(1);
	char *many = new char[1000];
	wide *aligned = new wide;
	void *raw = ::operator new(50, std::nothrow);

	HIDE(one);
	HIDE(many);
	HIDE(aligned);
	HIDE(raw);
	delete one;
	delete[] many;
	delete aligned;
	::operator delete(raw);
}

/* Memory has run out: is the right exception thrown, and NULL returned where none may be? */
extern "C" int late_failures()
{
	volatile size_t huge = (size_t)-1 / 2 - 4096;
	int right = 0;

	try {
		char *block = new char[huge];

		HIDE(block);
	} catch (const std::bad_alloc &) {
		right++;
	}
	char *block = new (std::nothrow) char[huge];
	HIDE(block);
	right += !block;
	try {
		void *aligned = ::operator new(huge, std::align_val_t(256));

		HIDE(aligned);
	} catch (const std::bad_alloc &) {
		right++;
	}
	return right;
}
