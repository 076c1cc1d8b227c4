/* What cppcheck has to know of headers that it is not given: macros that look like statements. */
#define yyjson_arr_foreach(arr, idx, max, val) for (idx = 0; (val = yyjson_arr_get(arr, idx)) != 0; idx++)
#define yyjson_obj_foreach(obj, idx, max, key, val) for (idx = 0; (val = yyjson_obj_getn(obj, key, idx)) != 0; idx++)
