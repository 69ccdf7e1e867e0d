// SPDX-License-Identifier: MIT
/* cxx_new.cc - every operator new and delete: each is one block, whatever it is made of. */
#include "truth.h"

#include <new>

template <typename T> static T *booked(T *block, size_t size)
{
	T_HIDE(block);
	t_got(block, size);
	return block;
}

template <typename T> static T *going(T *block)
{
	t_gone((uintptr_t)block);
	T_HIDE(block);
	return block;
}

struct alignas(128) wide {
	char bytes[256];
};

int main()
{
	t_begin();
	for (int i = 0; i < 100; i++) {
		int *one = booked(new int(i), sizeof(int));
		char *many = booked(new char[1000], 1000);
		wide *aligned = booked(new wide, sizeof(wide));
		wide *aligned_many = booked(new wide[3], 3 * sizeof(wide));
		void *raw = booked(::operator new(77), 77);
		void *aligned_raw = booked(::operator new(256, std::align_val_t(64)), 256);

		delete going(one);
		delete[] going(many);
		delete going(aligned);
		if (i % 2)
			delete[] going(aligned_many);
		::operator delete(going(raw));
		::operator delete(going(aligned_raw), std::align_val_t(64));
	}
	t_finish();
	return 0;
}
