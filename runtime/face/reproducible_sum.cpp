// SPDX-License-Identifier: Apache-2.0
#include "hashep/reproducible_sum.hpp"

#include <string>

#include "comm/agreement.hpp"
#include "comm/sum_over_ranks.hpp"
#include "hashep/error.hpp"
#include "runtime/face/context_impl.hpp"

namespace hashep {

class ReproducibleSum::Impl {
 public:
  Impl(std::shared_ptr<Context::Impl> context, int64_t rows, int64_t cols)
      : context_(std::move(context)),
        rows_(rows),
        cols_(cols),
        sums_(agreed_shape(*context_, rows, cols)) {}

  int64_t rows() const { return rows_; }
  int64_t cols() const { return cols_; }

  void add(ConstMatrixView addend) {
    require_matrix("addend", addend);
    sums_.add(addend, context_->options().threads);
  }

  void finish(MatrixView sum) {
    require_matrix("sum", sum);
    context_->in_step([&] {
      context_->watch().at({Phase::sum_gradients, -1, -1});
      sum_over_ranks(context_->comm(), context_->watch(), sums_);
    });
    sums_.write(sum, context_->options().threads);
    sums_.clear();
  }

 private:
  static FixedPointRows agreed_shape(Context::Impl& context, int64_t rows, int64_t cols) {
    const std::string shape = std::to_string(rows) + " x " + std::to_string(cols);
    return context.in_step([&] {
      agree(context.comm(), context.watch(), [&] {
        if (rows < 0 || cols < 0) throw InputError("a sum of " + shape + " elements");
      });
      require_same_settings(context.comm(), context.watch(), {{"the shape of a sum", shape}});
      return FixedPointRows(rows, cols);
    });
  }

  void require_matrix(const char* name, ConstMatrixView matrix) const {
    const bool is_there = matrix.data != nullptr || rows_ * cols_ == 0;
    if (is_there && matrix.rows == rows_ && matrix.cols == cols_ && matrix.dtype == DType::f32) {
      return;
    }
    throw InputError(std::string(name) + " is [" + std::to_string(matrix.rows) + ", " +
                     std::to_string(matrix.cols) + "] in " + std::string(dtype_name(matrix.dtype)) +
                     (is_there ? "" : ", null") + ", the sum is of [" + std::to_string(rows_) +
                     ", " + std::to_string(cols_) + "] in fp32");
  }

  std::shared_ptr<Context::Impl> context_;
  int64_t rows_;
  int64_t cols_;
  FixedPointRows sums_;
};

ReproducibleSum::ReproducibleSum(const Context& context, int64_t rows, int64_t cols)
    : impl_(std::make_unique<Impl>(context.impl(), rows, cols)) {}

ReproducibleSum::~ReproducibleSum() = default;
ReproducibleSum::ReproducibleSum(ReproducibleSum&& other) noexcept = default;
ReproducibleSum& ReproducibleSum::operator=(ReproducibleSum&& other) noexcept = default;

int64_t ReproducibleSum::rows() const {
  return impl_->rows();
}

int64_t ReproducibleSum::cols() const {
  return impl_->cols();
}

void ReproducibleSum::add(ConstMatrixView addend) {
  impl_->add(addend);
}

void ReproducibleSum::finish(MatrixView sum) {
  impl_->finish(sum);
}

}  // namespace hashep
