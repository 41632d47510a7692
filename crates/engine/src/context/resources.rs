//! What has the process given to its steps? Resources, found by their type.

use std::any::{Any, TypeId, type_name};
use std::collections::HashMap;
use std::sync::Arc;

use super::StepContext;
use crate::error::{StepError, StepResult};

impl StepContext {
    /// A resource given to [`EngineBuilder::provide`](crate::EngineBuilder::provide).
    ///
    /// # Errors
    /// When nothing of this type was provided: no further try now, since only a deploy mends it.
    pub fn get<T: Send + Sync + 'static>(&self) -> StepResult<Arc<T>> {
        self.inner.resources.get::<T>().ok_or_else(|| {
            let wanted = type_name::<T>();
            StepError::stop(format!(
                "no resource of type {wanted}: give it to Engine::builder().provide(…)"
            ))
            .code("missing_resource")
        })
    }
}

/// Resources by type.
#[derive(Default)]
pub(crate) struct Resources {
    by_type: HashMap<TypeId, Arc<dyn Any + Send + Sync>>,
}

impl Resources {
    pub(crate) fn insert<T: Send + Sync + 'static>(&mut self, resource: T) {
        self.by_type.insert(TypeId::of::<T>(), Arc::new(resource));
    }

    fn get<T: Send + Sync + 'static>(&self) -> Option<Arc<T>> {
        let resource = Arc::clone(self.by_type.get(&TypeId::of::<T>())?);
        resource.downcast::<T>().ok()
    }
}
