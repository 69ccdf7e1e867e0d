// SPDX-License-Identifier: MIT
/* cxx_containers.cc - vector, map and string churn through an allocator that books each call. */
#include "truth.h"

#include <map>
#include <string>
#include <vector>

template <typename T> struct booking {
	typedef T value_type;

	booking() = default;
	template <typename U> booking(const booking<U> &)
	{
	}
	T *allocate(size_t count)
	{
		void *block = ::operator new(count * sizeof(T));

		T_HIDE(block);
		t_got(block, count * sizeof(T));
		return static_cast<T *>(block);
	}
	void deallocate(T *block, size_t)
	{
		t_gone((uintptr_t)block);
		::operator delete(block);
	}
	template <typename U> bool operator==(const booking<U> &) const
	{
		return true;
	}
	template <typename U> bool operator!=(const booking<U> &) const
	{
		return false;
	}
};

typedef std::basic_string<char, std::char_traits<char>, booking<char>> text;
typedef std::vector<text, booking<text>> texts;
typedef std::map<int, text, std::less<int>, booking<std::pair<const int, text>>> by_number;

static void churn(by_number &map, texts &list, uint32_t *seed)
{
	for (int i = 0; i < 3000; i++) {
		int key = (int)(t_random(seed) % 500);

		if (t_random(seed) % 3)
			map[key] += text(t_random(seed) % 40, 'x');
		else
			map.erase(key);
		list.push_back(text((size_t)(i % 60), 'y'));
		if (i % 700 == 699)
			list.clear();
		if (i % 1000 == 999)
			list.shrink_to_fit();
	}
}

int main()
{
	uint32_t seed = 11;

	t_begin();
	{
		by_number map, *kept = new by_number();
		texts list;

		t_got(kept, sizeof(*kept));
		churn(map, list, &seed);
		churn(*kept, list, &seed);
	}
	t_finish();
	return 0;
}
