// SPDX-License-Identifier: MIT
/* cxx_empty.cc - allocates nothing itself: what libstdc++ costs. */
#include "truth.h"

/* Or the library would not be linked at all. */
struct nothing {
	virtual ~nothing()
	{
	}
};

int main(int argc, char **)
{
	t_begin();
	if (argc > 100)
		throw nothing();
	t_finish();
	return 0;
}
