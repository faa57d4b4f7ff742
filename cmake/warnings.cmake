# Warnings are errors; release builds are hardened; sanitizers replace the hardening.
add_compile_options(-Wall -Wextra -Wpedantic -Wconversion -Wshadow -Werror)

# GCC 12 reports false positives of these inside the standard library's headers at -O2.
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  add_compile_options(-Wno-restrict -Wno-maybe-uninitialized -Wno-array-bounds -Wno-stringop-overflow)
else()
  # Clang's -Wconversion has it in it, GCC's for C++ has not.
  add_compile_options(-Wno-sign-conversion)
endif()

if(SHARKCAGE_SANITIZE)
  add_compile_options(-fsanitize=${SHARKCAGE_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${SHARKCAGE_SANITIZE})
elseif(CMAKE_BUILD_TYPE STREQUAL "Release" OR CMAKE_BUILD_TYPE STREQUAL "RelWithDebInfo")
  add_compile_options(-D_FORTIFY_SOURCE=3 -fstack-protector-strong -fcf-protection)
  add_link_options(-Wl,-z,relro,-z,now)
endif()
